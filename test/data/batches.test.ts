import fc from "fast-check";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { type Batch, type BatchOptions, batches, groupRows, type Position, type Source } from "../../src/data/index.js";
import { SourceUnavailable } from "../../src/data/source.js";
import { DiptychError } from "../../src/errors.js";
import { cropPicture, openaiPreprocess } from "../../src/image/index.js";
import { decodePicture, type PictureJob, type PicturePool } from "../../src/image/node.js";
import type { Tokenizer } from "../../src/tokenizer/index.js";

/** A letter is a token. */
const tokenizer: Tokenizer = {
  kind: "bpe",
  vocabularySize: 130,
  startId: 128,
  endId: 129,
  padId: 0,
  merges: [],
  vocabulary: new Map(),
  clean: "lower",
  encode: (text) => [...text].map((letter) => letter.charCodeAt(0)),
  decode: () => "",
};

const unreadable = (key: string): DiptychError =>
  new DiptychError("Unreadable", `${key} cannot be read.`, "Leave it out.");

/** Sample i shows the byte i and says "c<i>"; reading fails for `lost`, decoding for `broken`. */
function numbered(length: number, lost: readonly number[] = []): Source {
  const captions = async (index: number): Promise<string[]> => [`c${index}`, `d${index}`];
  return {
    name: "numbers",
    length,
    classes: [],
    problems: [],
    captions,
    read: async (index) => {
      if (lost.includes(index)) throw unreadable(`sample ${index}`);
      return { key: `k${index}`, image: Uint8Array.of(index), captions: await captions(index) };
    },
    close: async () => {},
  };
}

/** Makes a one-pixel crop of a job's byte and the first number of its seed; keeps the jobs. */
function standInPool(broken: readonly number[] = []): PicturePool & { readonly jobs: PictureJob[] } {
  const jobs: PictureJob[] = [];
  return {
    jobs,
    run: async (job) => {
      jobs.push(job);
      const byte = (job.source as Uint8Array)[0]!;
      if (broken.includes(byte)) throw unreadable(`picture ${byte}`);
      return Uint8Array.of(byte, 0, 0);
    },
    dispose: async () => {},
  };
}

const identity = {
  ...openaiPreprocess(1),
  mean: [0, 0, 0] as [number, number, number],
  std: [1 / 255, 1, 1] as [number, number, number],
};

const options = (more: Partial<BatchOptions> = {}): BatchOptions => ({
  batchSize: 4,
  seed: 11,
  tokenizer,
  contextLength: 16,
  preprocess: identity,
  augment: { scale: [0.5, 1], flip: true },
  pool: standInPool(),
  ...more,
});

async function take(source: Source, count: number, given: BatchOptions): Promise<Batch[]> {
  const taken: Batch[] = [];
  for await (const batch of batches(source, given)) if (taken.push(batch) === count) break;
  return taken;
}

/** The samples' numbers, from the red channel. */
const indices = ({ pixels, size }: Batch): number[] =>
  Array.from({ length: size }, (_, i) => Math.round(pixels[i * 3]!));

describe("batches", () => {
  test("an epoch has each sample once, but for the last incomplete batch; then the next begins", async () => {
    const taken = await take(numbered(14), 6, options());
    expect(taken.map(({ position }) => position)).toEqual(
      [0, 1].flatMap((epoch) => [0, 1, 2].map((step): Position => ({ epoch, step }))),
    );
    for (const epoch of [taken.slice(0, 3), taken.slice(3)]) expect(new Set(epoch.flatMap(indices)).size).toBe(12);
    expect(taken.slice(0, 3).flatMap(indices)).not.toEqual(taken.slice(3).flatMap(indices));
  });

  test("ids begin with start, end with end, and are padded to a multiple of four", async () => {
    const [batch] = await take(numbered(9), 1, options());
    expect([batch!.length, batch!.ids.length]).toEqual([4, 16]);
    const row = [...batch!.ids.subarray(0, 4)];
    expect([row[0], row[3]]).toEqual([128, 129]);
    expect(String.fromCharCode(row[1]!, row[2]!)).toMatch(new RegExp(`[cd]${indices(batch!)[0]}`));
  });

  test("shorter texts come first, each row with its picture, so that a part of the rows has less padding", async () => {
    const caption = (i: number): string => "x".repeat(1 + (i % 7));
    const source = {
      ...numbered(20),
      read: async (i: number) => ({ key: "", image: Uint8Array.of(i), captions: [caption(i)] }),
    };
    for (const batch of await take(source, 2, options({ batchSize: 10 }))) {
      expect([...batch.lengths]).toEqual(indices(batch).map((i) => caption(i).length + 2));
      expect([...batch.lengths]).toEqual([...batch.lengths].sort((a, b) => a - b));
      expect(batch.length).toBe(Math.ceil(batch.lengths.at(-1)! / 4) * 4);
    }
    const [padded] = await take(source, 1, options({ padTo: "context" }));
    expect([...padded!.lengths]).toEqual([16, 16, 16, 16]);
  });

  test("a text longer than the context is cut, keeps its end, and is counted", async () => {
    const source = {
      ...numbered(4),
      read: async (i: number) => ({ key: "", image: Uint8Array.of(i), captions: [i ? "ab" : "abcdefghi"] }),
    };
    const [batch] = await take(source, 1, options({ contextLength: 6 }));
    expect([batch!.length, batch!.truncated]).toEqual([6, 1]);
    const long = indices(batch!).indexOf(0);
    expect([...batch!.ids.subarray(long * 6, long * 6 + 6)]).toEqual([128, 97, 98, 99, 100, 129]);
  });

  test("a resumed run equals the uninterrupted one, also where samples cannot be read", async () => {
    const broken = fc.uniqueArray(fc.nat(22), { maxLength: 9 });
    await fc.assert(
      fc.asyncProperty(
        fc.nat(20),
        broken,
        fc.nat(1000),
        fc.integer({ min: 0, max: 3 }),
        async (skipped, bad, seed, prefetch) => {
          const source = numbered(23, bad.slice(0, 4));
          const again = (): BatchOptions => options({ seed, prefetch, pool: standInPool(bad.slice(4)) });
          const whole = await take(source, skipped + 3, again());
          const start = whole[skipped]!.position;
          expect(await take(source, 3, { ...again(), start, prefetch: 1 })).toEqual(whole.slice(skipped));
          expect(whole.flatMap(indices).some((index) => bad.includes(index))).toBe(false);
        },
      ),
      { numRuns: 40 },
    );
  });

  test("each unreadable sample is told once", async () => {
    const told: string[] = [];
    await take(
      numbered(8, [3]),
      6,
      options({ pool: standInPool([5]), onUnreadable: (error) => told.push(error.problem) }),
    );
    expect(told.sort()).toEqual(["picture 5 cannot be read.", "sample 3 cannot be read."]);
  });

  test("a source of nothing readable ends with an error, and so does one smaller than a batch", async () => {
    const all = Array.from({ length: 200 }, (_, i) => i);
    await expect(take(numbered(200, all), 1, options())).rejects.toThrow(
      "100 samples of numbers in a row cannot be read",
    );
    await expect(take(numbered(200), 1, options({ pool: standInPool(all) }))).rejects.toThrow(DiptychError);
    await expect(take(numbered(3), 1, options())).rejects.toThrow("3 samples do not fill a batch of 4.");
  });

  test("an error that is not the sample's fault is not skipped over", async () => {
    const source = { ...numbered(8), read: () => Promise.reject(new Error("EIO")) };
    await expect(take(source, 1, options())).rejects.toThrow("EIO");
    const away = { ...source, read: () => Promise.reject(new SourceUnavailable("Gone.", "Wait.", null)) };
    await expect(take(away, 1, options())).rejects.toThrow("SourceUnavailable");
  });

  test("ranks share an epoch: disjoint, and together what one rank of the whole batch sees", async () => {
    // texts of one length, so that none moves
    const source = {
      ...numbered(26),
      read: async (i: number) => ({ key: "", image: Uint8Array.of(i), captions: ["a"] }),
    };
    const whole = await take(source, 2, options({ batchSize: 12 }));
    const parts = await Promise.all(
      [0, 1, 2].map((rank) => take(source, 2, options({ batchSize: 12, ranks: { rank, size: 3 } }))),
    );
    for (const step of [0, 1]) {
      expect(parts.flatMap((part) => indices(part[step]!))).toEqual(indices(whole[step]!));
    }
    await expect(take(source, 1, options({ ranks: { rank: 0, size: 3 } }))).rejects.toMatchObject({
      code: "UnevenBatch",
    });
  });

  test("when a batch is handed out, the next ones' pictures are already with the workers", async () => {
    const pool = standInPool();
    const generator = batches(numbered(100), options({ pool, prefetch: 3 }));
    for (const handed of [1, 2, 3]) {
      await generator.next();
      expect(pool.jobs.length).toBe((handed + 3) * 4);
    }
    await generator.return();
  });

  test("an augmentation depends on seed, epoch and sample; without one the crop is the centre's", async () => {
    const pool = standInPool();
    await take(numbered(4), 1, options({ pool, prefetch: 0 }));
    for (const job of pool.jobs) {
      expect(job).toMatchObject({
        task: "augment",
        scale: [0.5, 1],
        flip: true,
        seed: [11, 0, (job.source as Uint8Array)[0]],
      });
    }
    await take(numbered(4), 1, options({ pool, augment: null }));
    expect(pool.jobs.at(-1)).toMatchObject({ task: "crop", config: identity });
  });

  test("rows that say the same, or have the same captions to choose from, are one group", async () => {
    const said = [["a"], ["b"], ["a"], ["x", "y", "z", "v", "w"], ["x", "y", "z", "v", "w"], ["b", "other"]];
    const source = {
      ...numbered(6),
      read: async (i: number) => ({ key: "", image: Uint8Array.of(i), captions: said[i]! }),
    };
    for (const batch of await take(source, 8, options({ batchSize: 6 }))) {
      const numbers = groupRows(batch.keys);
      const group = (sample: number): number => numbers[indices(batch).indexOf(sample)]!;
      expect(group(0)).toBe(group(2));
      expect(group(3)).toBe(group(4));
      expect(group(0)).not.toBe(group(1));
      expect(group(0)).not.toBe(group(3));
      const row = indices(batch).indexOf(5);
      const saysB = batch.ids[row * batch.length + 2] === tokenizer.endId;
      expect(group(5) === group(1)).toBe(saysB);
    }
  });

  test("rows tell their caption, and which of them show the same file", async () => {
    const source = {
      ...numbered(4),
      read: async (i: number) => ({ key: "", image: Uint8Array.of(i % 3), captions: [`c${i}`] }),
    };
    const [batch] = await take(source, 1, options());
    expect([...batch!.captions].sort()).toEqual(["c0", "c1", "c2", "c3"]);
    const checksum = (i: number): number => batch!.checksums[batch!.captions.indexOf(`c${i}`)]!;
    expect(checksum(0)).toBe(checksum(3));
    expect(new Set(batch!.checksums).size).toBe(3);
  });
});

/** The worker pool's work, in this thread. */
const pool: PicturePool = {
  run: async (job) => cropPicture(await decodePicture(job.source, job), job.config),
  dispose: async () => {},
};

test("pixels are the normalised crops of real files, and a broken file is replaced", async () => {
  const png = (red: number) =>
    sharp({ create: { width: 40, height: 30, channels: 3, background: { r: red, g: 0, b: 255 } } })
      .png()
      .toBuffer();
  const pictures = await Promise.all([0, 1, 2, 3, 4, 5].map((i) => png(i * 40)));
  const told: string[] = [];
  const image = (i: number): Uint8Array => (i === 2 ? pictures[2]!.subarray(0, 60) : pictures[i]!);
  const source = { ...numbered(6), read: async (i: number) => ({ key: `k${i}`, image: image(i), captions: ["a"] }) };
  const preprocess = {
    ...openaiPreprocess(16),
    mean: [0, 0, 0] as [number, number, number],
    std: [1, 1, 1] as [number, number, number],
  };
  const [batch] = await take(
    source,
    1,
    options({ batchSize: 6, pool, augment: null, preprocess, onUnreadable: (error) => told.push(error.code) }),
  );
  const reds = Array.from({ length: 6 }, (_, i) => Math.round((batch!.pixels[i * 3 * 256]! * 255) / 40));
  expect([...new Set(reds)].sort()).toEqual([0, 1, 3, 4, 5]);
  expect(batch!.pixels[2 * 256]).toBe(1); // blue
  expect(told).toEqual(["UnreadablePicture"]);
});
