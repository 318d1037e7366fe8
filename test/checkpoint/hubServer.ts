/**
 * @file A hub on this machine: speaks what Hugging Face's does of a model's info, tree and files, sends large files from
 * another origin as the real one does, writes down who asked for what, and breaks when told to.
 */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  readonly server: "hub" | "storage";
  readonly method: string;
  readonly path: string;
  readonly range?: string;
  readonly token?: string;
}

/** Answers a request in the server's place, or returns false to let it answer. */
export type Interception = (asked: Asked, response: ServerResponse, content?: Buffer) => boolean;

export interface Hub {
  readonly endpoint: string;
  readonly asked: Asked[];
  /** Set by a test to make something go wrong. */
  intercept: Interception;
  /** What `main` is. */
  commit: string;
  files: ReadonlyMap<string, Buffer>;
  close(): Promise<void>;
}

export const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");
const gitHash = (content: Buffer): string =>
  createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
/** As the hub does: what is not text, or large, is kept outside of git. */
const isLarge = (name: string, content: Buffer): boolean => name.endsWith(".safetensors") || content.length > 1e6;
export const blobName = (name: string, content: Buffer): string =>
  isLarge(name, content) ? sha256(content) : gitHash(content);

/** Serves one model, `repository`, at one revision, `main`. */
export async function startHub(repository: string, files: ReadonlyMap<string, Buffer>): Promise<Hub> {
  const hub: Hub = { endpoint: "", asked: [], intercept: () => false, commit: "1".repeat(40), files, close };

  const fail = (response: ServerResponse, status: number, code: string): void => {
    response.writeHead(status, { "X-Error-Code": code }).end(code);
  };
  const json = (response: ServerResponse, value: unknown): void => {
    response.setHeader("Content-Type", "application/json").end(JSON.stringify(value));
  };
  const write = (server: Asked["server"], { method = "", url = "", headers }: IncomingMessage): Asked => {
    const path = url.split("?")[0]!;
    const { range, authorization } = headers;
    const asked = {
      ...{ server, method, path },
      ...(range !== undefined && { range }),
      ...(authorization !== undefined && { token: authorization }),
    };
    hub.asked.push(asked);
    return asked;
  };
  const send = (response: ServerResponse, content: Buffer, range?: string): void => {
    const start = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
    if (range !== undefined)
      response.setHeader("Content-Range", `bytes ${start}-${content.length - 1}/${content.length}`);
    response.writeHead(range === undefined ? 200 : 206, { "Content-Length": content.length - start });
    response.end(content.subarray(start));
  };

  const storage = createServer((request, response) => {
    const asked = write("storage", request);
    const content = [...hub.files.values()].find((content) => asked.path === `/${sha256(content)}`);
    if (hub.intercept(asked, response, content)) return;
    if (content) send(response, content, asked.range);
    else fail(response, 404, "EntryNotFound");
  });
  const front = createServer((request, response) => {
    const asked = write("hub", request);
    const [, api, name, kind, revision, file] =
      /^(\/api\/models)?\/([^/]+\/[^/]+)\/(revision|tree|resolve)\/([^/]+)(?:\/(.+))?$/.exec(asked.path) ?? [];
    const content = hub.files.get(file ?? "");
    if (hub.intercept(asked, response, content)) return;
    if (name !== repository) return fail(response, 401, "RepoNotFound");
    if (revision !== "main" && revision !== hub.commit) return fail(response, 404, "RevisionNotFound");
    if (api && kind === "revision") return json(response, { _id: "0", id: repository, sha: hub.commit });
    if (api && kind === "tree") {
      const entries = [...hub.files].map(([path, content]) => ({
        ...{ type: "file", path, size: content.length, oid: gitHash(content) },
        ...(isLarge(path, content) && { lfs: { oid: sha256(content), size: content.length, pointerSize: 130 } }),
      }));
      return json(response, [{ type: "directory", path: "onnx", size: 0, oid: "0".repeat(40) }, ...entries]);
    }
    if (!content) return fail(response, 404, "EntryNotFound");
    response.setHeader("X-Repo-Commit", hub.commit).setHeader("ETag", `"${gitHash(content)}"`);
    if (!isLarge(file!, content)) return send(response, content, asked.range);
    const location = `http://127.0.0.1:${(storage.address() as AddressInfo).port}/${sha256(content)}`;
    response.writeHead(302, { Location: location, "X-Linked-Etag": `"${sha256(content)}"` }).end();
  });

  async function close(): Promise<void> {
    for (const server of [front, storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }
  for (const server of [front, storage]) {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  }
  const { port } = front.address() as AddressInfo;
  return Object.assign(hub, { endpoint: `http://127.0.0.1:${port}` });
}
