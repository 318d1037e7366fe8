/** @file A server of files on this machine, with ranges or without, that breaks as often as it is told. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { crc32 } from "node:zlib";

export interface ShardServer {
  readonly address: string;
  /** Path and range of every request. */
  readonly asked: string[];
  /** So many of the next requests fail: with status 503, or in the middle of the answer. */
  fail: { times: number; how: "busy" | "cut" };
  readonly files: Map<string, Uint8Array>;
  close(): Promise<void>;
}

export async function startShardServer({ ranges }: { readonly ranges: boolean }): Promise<ShardServer> {
  const files = new Map<string, Uint8Array>();
  const server = createServer(({ url = "", headers: { range } }, response) => {
    shards.asked.push(`${url} ${range ?? "whole"}`);
    const content = files.get(url);
    if (!content) return response.writeHead(404).end();
    const isFailing = shards.fail.times-- > 0;
    if (isFailing && shards.fail.how === "busy") return response.writeHead(503, { "Retry-After": "0" }).end();

    const asked = ranges && range ? /^bytes=(\d+)-(\d+)$/.exec(range)! : null;
    const [from, to] = asked ? [Number(asked[1]), Number(asked[2]) + 1] : [0, content.length];
    const part = content.subarray(from, to);
    response.writeHead(asked ? 206 : 200, {
      "Content-Length": part.length,
      ETag: `"${crc32(content)}"`,
      ...(asked && { "Content-Range": `bytes ${from}-${to - 1}/${content.length}` }),
    });
    if (!isFailing) return response.end(part);
    return response.write(part.subarray(0, part.length / 2), () => response.destroy());
  });
  const shards: ShardServer = {
    address: "",
    asked: [],
    fail: { times: 0, how: "busy" },
    files,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return Object.assign(shards, { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}
