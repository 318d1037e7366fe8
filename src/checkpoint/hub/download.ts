/**
 * @file Downloads one file: resumed where it broke, also by a later process, checked by its hash, in place as a whole or not
 * at all. Needs no lock: every process writes a part of its own, and whoever is last puts equal bytes in place.
 */
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, rename, rm, stat, statfs } from "node:fs/promises";
import path from "node:path";
import { DiptychError } from "../../errors.js";
import { bytesOf, type Connection, patience, persist, request, Unavailable } from "./http.js";
import { claimPart, releasePart } from "./part.js";

export interface RemoteFile {
  readonly name: string;
  readonly url: string;
  /** In bytes. */
  readonly size: number;
  /** SHA-256 (64 digits), or git's SHA-1 of a small file (40 digits). */
  readonly hash: string;
}

/** Bytes of a file that have come, of all. */
export interface Progress {
  readonly file: string;
  readonly done: number;
  readonly total: number;
}

/** @throws DiptychError `WrongHash`, `NoSpace`; Unavailable when the server has failed five times in a row. */
export async function download(
  file: RemoteFile,
  place: string,
  connection: Connection,
  onProgress: (progress: Progress) => void = () => {},
): Promise<void> {
  const part = await claimPart(place);
  try {
    await fill(part, file, connection, onProgress);
  } catch (error) {
    const worthKeeping = !(error instanceof DiptychError) && (await stat(part)).size > 0;
    await (worthKeeping ? releasePart(part, place) : rm(part, { force: true }));
    throw error;
  }
  await rename(part, place);
}

async function fill(part: string, file: RemoteFile, connection: Connection, report: (p: Progress) => void) {
  const handle = await open(part, "a+");
  try {
    const { bavail, bsize } = await statfs(part);
    const needed = file.size - (await handle.stat()).size;
    if (bavail * bsize < needed) throw noSpace(file, part, needed);
    await receive(file, handle, connection, report);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function receive(file: RemoteFile, part: FileHandle, connection: Connection, report: (p: Progress) => void) {
  let done = 0;
  let digest = digestFor(file);
  const startAgain = async (): Promise<void> => {
    await part.truncate();
    done = 0;
    digest = digestFor(file);
  };
  const take = async (bytes: Uint8Array): Promise<void> => {
    digest.update(bytes);
    done += bytes.length;
    if (done > file.size) throw wrong(file, "is longer than announced");
  };
  for await (const bytes of part.createReadStream({ start: 0, autoClose: false })) await take(bytes);

  const attempt = async (): Promise<void> => {
    if (done === file.size) return;
    const silence = new AbortController();
    const seconds = patience.nextBytes / 1000;
    const timer = setTimeout(() => silence.abort(new Error(`silent for ${seconds} s`)), patience.nextBytes);
    try {
      const headers = { "Accept-Encoding": "identity", ...(done > 0 && { Range: `bytes=${done}-` }) };
      const response = await request(file.name, file.url, { headers, signal: silence.signal }, connection);
      if (done > 0 && !response.headers.get("Content-Range")?.startsWith(`bytes ${done}-`)) await startAgain();
      for await (const bytes of bytesOf(response)) {
        timer.refresh();
        await take(bytes);
        await part.appendFile(bytes);
        report({ file: file.name, done, total: file.size });
      }
    } finally {
      clearTimeout(timer);
    }
    if (done < file.size) throw new Unavailable(`${file.name} ended after ${done} of ${file.size} bytes`);
  };
  await persist(attempt, 5, () => done);
  if (digest.digest("hex") !== file.hash) throw wrong(file, "does not have the announced hash");
}

/** Git hashes a file behind a header with its size. */
const digestFor = ({ hash, size }: RemoteFile): Hash =>
  hash.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);

const wrong = ({ name, url }: RemoteFile, how: string) =>
  new DiptychError("WrongHash", `${name}, as ${new URL(url).host} sent it, ${how}.`, "It was not kept; try again.");

const noSpace = ({ name }: RemoteFile, part: string, needed: number) =>
  new DiptychError(
    "NoSpace",
    `${name} needs ${Math.ceil(needed / 1e6)} MB, and ${path.dirname(part)} has less.`,
    "Free space, or name another folder for the cache: { cache } or HF_HUB_CACHE.",
  );
