import { existsSync } from "node:fs";
import path from "node:path";
import { runInNewContext } from "node:vm";
import type { Worker } from "node:worker_threads";
import sharp from "sharp";
import { afterAll, describe, expect, test, vi } from "vitest";
import { augmentPicture, cropPicture, openaiPreprocess, randomStream } from "../../src/image/index.js";
import { createPicturePool, decodePicture } from "../../src/image/node.js";

const started: Worker[] = vi.hoisted(() => []);

vi.mock("node:worker_threads", async (original) => {
  const actual = await original<typeof import("node:worker_threads")>();
  class Recorded extends actual.Worker {
    constructor(...args: ConstructorParameters<typeof actual.Worker>) {
      super(...args);
      started.push(this);
    }
  }
  return { ...actual, Worker: Recorded };
});

const built = existsSync(path.resolve(import.meta.dirname, "../../dist/image/worker.js"));

describe.skipIf(!built)("the picture pool", async () => {
  const config = openaiPreprocess(16);
  const source = await sharp({
    create: {
      width: 50,
      height: 40,
      channels: 3,
      background: "#3080c0",
      noise: { type: "gaussian", mean: 128, sigma: 40 },
    },
  })
    .png()
    .toBuffer();
  const picture = await decodePicture(source);
  const pool = createPicturePool(2);
  afterAll(() => pool.dispose());

  test("gives the crops that the main thread would", async () => {
    expect(await pool.run({ task: "crop", source, config })).toEqual(cropPicture(picture, config));
    const augmentation = { scale: [0.5, 1], flip: true } as const;
    const crops = await Promise.all(
      [0, 1, 2, 3, 4].map((i) => pool.run({ task: "augment", source, config, seed: [1, 0, i], ...augmentation })),
    );
    crops.forEach((crop, i) => {
      expect(crop).toEqual(augmentPicture(picture, config, augmentation, randomStream([1, 0, i])));
    });
  });

  test("no worker takes the collector away from another that starts", async () => {
    await pool.run({ task: "crop", source, config });
    expect(runInNewContext("typeof gc")).toBe("function");
  });

  test("workers that start together lose nothing", async () => {
    for (let i = 0; i < 4; i++) {
      const many = createPicturePool(8);
      const crops = await Promise.all(Array.from({ length: 8 }, () => many.run({ task: "crop", source, config })));
      await many.dispose();
      expect(crops).toHaveLength(8);
    }
  });

  test("a picture that cannot be read is reported by name, and the others are done", async () => {
    const bad = pool.run({ task: "crop", source: source.subarray(0, 99), name: "picture 1", config });
    const good = pool.run({ task: "crop", source, config });
    await expect(bad).rejects.toMatchObject({
      code: "UnreadablePicture",
      problem: expect.stringContaining("picture 1"),
    });
    expect(await good).toHaveLength(16 * 16 * 3);
  });

  test("a thread that dies loses one picture; another takes over", async () => {
    const single = createPicturePool(1);
    await single.run({ task: "crop", source, config });
    const jobs = [1, 2, 3].map((i) => single.run({ task: "crop", source, name: `picture ${i}`, config }));
    await started.at(-1)!.terminate();
    const outcomes = await Promise.allSettled(jobs);
    const lost = outcomes.filter((outcome) => outcome.status === "rejected");
    expect(lost.length).toBeLessThanOrEqual(1);
    for (const { reason } of lost) expect(reason).toMatchObject({ code: "WorkerDied" });
    expect(await single.run({ task: "crop", source, config })).toHaveLength(16 * 16 * 3);
    await single.dispose();
  });

  test("jobs that are not done when it is disposed are rejected", async () => {
    const short = createPicturePool(1);
    const job = short.run({ task: "crop", source, config });
    const [outcome] = await Promise.all([
      job.then(
        () => "done",
        () => "rejected",
      ),
      short.dispose(),
    ]);
    expect(outcome).toBe("rejected");
    await expect(short.run({ task: "crop", source, config })).rejects.toThrow("disposed");
  });
});
