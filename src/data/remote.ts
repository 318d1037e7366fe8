/**
 * @file Shards behind http(s). Where the server gives parts of a file, samples are read by range and nothing is kept; where
 * it does not, or a `cache` is named, the shard is fetched once and then a file like any other. Either way every sample
 * can be read at any time, so that order and resume are those of local shards.
 */
import { createHash, randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { bytesOf, type Connection, patience, persist, request, Unavailable } from "../checkpoint/node.js";
import { DiptychError } from "../errors.js";
import { limiter } from "./limit.js";
import { SourceUnavailable } from "./source.js";
import type { ByteReader } from "./tar.js";

export const isRemote = (name: string): boolean => /^https?:\/\//.test(name);

/** Waits of 0.2, 0.4 … 12.8 seconds between them: a server may restart. */
const tries = 8;
const requestsAtATime = 32;
/** Bytes asked for at once: an answer's delay is longer than their transfer. */
const piece = 1024 * 1024;

/** A shard's bytes by range, or the path of its copy. */
export type RemoteShard = { readonly bytes: ByteReader } | { readonly file: string };

/**
 * A function that opens shards by their addresses, as many at once as a server bears.
 * @param cache a folder that copies are kept in; without it only what cannot be read by range is kept, in the user's cache
 * @throws (from the returned function) DiptychError "MissingFile", "AccessDenied", SourceUnavailable
 */
export function remoteShards(connection: Connection, cache?: string): (url: string) => Promise<RemoteShard> {
  const inTurn = limiter(requestsAtATime);
  const folder = cache ?? path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache"), "diptych", "shards");

  const get: Get = (url, headers, use) =>
    inTurn(() =>
      persist(async () => {
        const silence = new AbortController();
        const timer = setTimeout(() => silence.abort(new Error("silent for long")), patience.nextBytes);
        const init = { headers: { "Accept-Encoding": "identity", ...headers }, signal: silence.signal };
        try {
          const response = await request(url, url, init, connection);
          return await use(response, heard(response, timer));
        } finally {
          clearTimeout(timer);
        }
      }, tries),
    ).catch((error: unknown) => {
      throw inUsersTerms(error, url);
    });

  return async (url) => {
    const place = path.join(folder, copyName(url));
    if (await isFile(place)) return { file: place };

    const bytes = await get(url, { Range: "bytes=0-0" }, async (response) => {
      const size = Number(/^bytes 0-0\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "")?.[1]);
      await response.body?.cancel();
      return response.status === 206 && size > 0 ? rangeReader(url, size, versionOf(response), get) : null;
    });
    if (bytes && cache === undefined) return { bytes };

    await mkdir(folder, { recursive: true });
    const part = `${place}.tmp-${randomUUID()}`;
    try {
      if (bytes) await pipeline(piecesOf(bytes), createWriteStream(part));
      else await get(url, {}, (_, all) => pipeline(all, createWriteStream(part)));
      await rename(part, place);
    } finally {
      await rm(part, { force: true });
    }
    return { file: place };
  };
}

/** Asks for a file, or a range of it, and again where the connection breaks; `use` gets the bytes as they come. */
type Get = <T>(
  url: string,
  headers: Record<string, string>,
  use: (response: Response, bytes: AsyncIterable<Uint8Array>) => Promise<T>,
) => Promise<T>;

async function* heard(response: Response, timer: NodeJS.Timeout): AsyncGenerator<Uint8Array> {
  for await (const bytes of bytesOf(response)) {
    timer.refresh();
    yield bytes;
  }
}

function rangeReader(url: string, size: number, version: string | null, get: Get): ByteReader {
  return {
    size,
    window: piece,
    read: async (offset, length) => {
      const bytes = new Uint8Array(Math.min(length, size - offset));
      if (bytes.length === 0) return bytes;
      await get(url, { Range: `bytes=${offset}-${offset + bytes.length - 1}` }, async (response, parts) => {
        if (versionOf(response) !== version) {
          throw new DiptychError("ShardChanged", `${url} changed while it was read.`, "Start again.");
        }
        if (response.status !== 206) throw new Unavailable(`${url} was sent whole where a part was asked for`);
        let done = 0;
        for await (const some of parts) {
          bytes.set(some.subarray(0, bytes.length - done), done);
          done += some.length;
        }
        if (done !== bytes.length) throw new Unavailable(`${url} sent ${done} of ${bytes.length} bytes`);
      });
      return bytes;
    },
  };
}

async function* piecesOf(bytes: ByteReader): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.size; offset += piece) yield bytes.read(offset, piece);
}

const versionOf = ({ headers }: Response): string | null => headers.get("ETag") ?? headers.get("Last-Modified");

/** Different addresses may end in the same name. */
const copyName = (url: string): string =>
  `${createHash("sha256").update(url).digest("hex").slice(0, 16)}-${path.posix.basename(new URL(url).pathname)}`;

const isFile = (file: string): Promise<boolean> =>
  stat(file).then(
    (status) => status.isFile(),
    () => false,
  );

function inUsersTerms(error: unknown, url: string): unknown {
  if (error instanceof Unavailable) {
    const remedy = "Check the connection and start again; a run goes on from its last checkpoint with --resume.";
    return new SourceUnavailable(`${url} could not be read, ${tries} times in a row: ${error.message}.`, remedy, error);
  }
  if (!(error instanceof DiptychError)) return error;
  const isMissing = error.code === "NoSuchModel";
  return new SourceUnavailable(error.problem, isMissing ? "Check the address." : error.remedy, error);
}
