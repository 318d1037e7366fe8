import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { openSource, type SourceSpec } from "../../src/data/index.js";
import { limiter } from "../../src/data/limit.js";
import { type ShardServer, startShardServer } from "./shardServer.js";
import { tarOf } from "./tarOf.js";

let folder: string;
let ranged: ShardServer;
let plain: ShardServer;

const sizes = [10, 2_000_000, 3];

/** Three samples a shard, one of them larger than what is asked for at once. */
const shardOf = (name: string) =>
  tarOf(
    sizes.flatMap((size, i) => [
      { name: `${name}${i}.jpg`, content: `${name}${i} ${"x".repeat(size)}` },
      { name: `${name}${i}.txt`, content: `caption ${name}${i}` },
    ]),
  );
const keys = ["a0", "a1", "a2", "b0", "b1", "b2"];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-"));
  [ranged, plain] = await Promise.all([startShardServer({ ranges: true }), startShardServer({ ranges: false })]);
  for (const { files } of [ranged, plain]) for (const name of ["a", "b"]) files.set(`/${name}.tar`, shardOf(name));
});
afterEach(() => {
  for (const server of [ranged, plain]) server.fail.times = 0;
});
afterAll(async () => {
  await Promise.all([ranged.close(), plain.close()]);
  await rm(folder, { recursive: true });
});

/** The keys of all samples, once what they hold is seen to be theirs. */
async function keysIn(spec: SourceSpec): Promise<string[]> {
  const source = await openSource(spec, folder);
  try {
    return await Promise.all(
      Array.from({ length: source.length }, async (_, i) => {
        const { image, captions } = await source.read(i);
        const key = new TextDecoder().decode(image.subarray(0, 2));
        expect(image.length).toBe(3 + sizes[i % 3]!);
        expect(captions).toEqual([`caption ${key}`]);
        return key;
      }),
    );
  } finally {
    await source.close();
  }
}

const copies = () => readdir(path.join(folder, "copies")).catch(() => []);

describe("shards behind http", () => {
  test("are read by range where the server allows it, and nothing is kept", async () => {
    expect(await keysIn({ shards: `${ranged.address}/{a,b}.tar` })).toEqual(keys);
    expect(ranged.asked.every((asked) => asked.includes("bytes="))).toBe(true);
    expect(await copies()).toEqual([]);
  });

  test("are copied once where it does not", async () => {
    const spec = { shards: `${plain.address}/{a,b}.tar`, cache: "copies" };
    expect(await keysIn(spec)).toEqual(keys);
    expect(await copies()).toHaveLength(2);
    const asked = plain.asked.length;
    expect(await keysIn(spec)).toEqual(keys);
    expect(plain.asked).toHaveLength(asked);
  });

  test("are copied where a folder for copies is named, and read from there without the server", async () => {
    const spec = { shards: `${ranged.address}/a.tar`, cache: "kept" };
    expect(await keysIn(spec)).toEqual(keys.slice(0, 3));
    ranged.fail = { times: 100, how: "busy" };
    expect(await keysIn(spec)).toEqual(keys.slice(0, 3));
  });

  test.each(["busy", "cut"] as const)("survive a server that is %s for a while", async (how) => {
    for (const [server, cache] of [
      [ranged, undefined],
      [plain, `after ${how}`],
    ] as const) {
      server.fail = { times: 2, how };
      expect(await keysIn({ shards: `${server.address}/b.tar`, ...(cache && { cache }) })).toEqual(keys.slice(3));
    }
  });

  test("end with what to do when the server stays away, has no such file, or has another one now", async () => {
    ranged.fail = { times: 1000, how: "busy" };
    await expect(keysIn({ shards: `${ranged.address}/a.tar` })).rejects.toMatchObject({
      code: "SourceUnavailable",
      problem: expect.stringMatching(/a\.tar could not be read, 8 times in a row: .*busy or broken \(status 503\)\.$/),
      remedy: expect.stringContaining("--resume"),
    });
    ranged.fail.times = 0;
    await expect(keysIn({ shards: `${ranged.address}/c.tar` })).rejects.toMatchObject({ remedy: "Check the address." });

    ranged.files.set("/d.tar", shardOf("d"));
    const source = await openSource({ shards: `${ranged.address}/d.tar` }, folder);
    ranged.files.set("/d.tar", shardOf("longer"));
    await expect(source.read(1)).rejects.toMatchObject({
      problem: expect.stringContaining("changed while it was read"),
    });
    await source.close();
  });
});

test("a limiter has so many tasks under way and no more, and goes on after one that failed", async () => {
  const inTurn = limiter(3);
  let running = 0;
  let most = 0;
  const task = (i: number) => async (): Promise<number> => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, i % 4));
    running--;
    if (i === 5) throw new Error("five");
    return i;
  };
  const results = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => inTurn(task(i))));
  expect(results.map(({ status }) => status === "fulfilled")).toEqual(Array.from({ length: 20 }, (_, i) => i !== 5));
  expect(most).toBe(3);
});
