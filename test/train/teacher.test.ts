import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { saveCheckpoint } from "../../src/checkpoint/node.js";
import type { Batch } from "../../src/data/index.js";
import { createPicturePool, type PicturePool } from "../../src/image/node.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { row } from "../../src/tasks/index.js";
import { loadClip } from "../../src/tasks/node.js";
import { train } from "../../src/train/index.js";
import { tinyCheckpoint } from "../tasks/tiny.js";
import { captions, pictures, recipe, writePairs } from "./pairs.js";

let base: string;
let pool: PicturePool;
beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), "diptych-"));
  pool = createPicturePool(2);
  await writePairs(base, ["broken.png"]);
  await writeFile(path.join(base, "broken.png"), "no picture");
  await saveCheckpoint(path.join(base, "larger"), tinyCheckpoint());
});
afterAll(async () => {
  await pool.dispose();
  await rm(base, { recursive: true });
});

/** The batches that a run sees, and what it says before it begins. */
async function seen(out: string): Promise<{ batches: Batch[]; said: string[] }> {
  const batches: Batch[] = [];
  const said: string[] = [];
  const data = [{ table: "captions.csv" }, { table: "captions.csv", weight: 0.5 }];
  await train(recipe({ data, epochs: 3, teacher: { model: "larger" }, distillation: { similarity: 1 } }), {
    out: path.join(base, out),
    base,
    runtime: nodeRuntime(),
    pool,
    observers: [() => ({ onStep: (_, batch) => batches.push(batch) })],
    onProgress: (progress) => said.push(progress),
  });
  return { batches, said };
}

test("a teacher runs once, and every pair comes with what it says of its picture and caption", async () => {
  const first = await seen("first");
  expect(first.said[0]).toContain("larger embeds captions.csv: 1 of 1 files");
  const clip = await loadClip(path.join(base, "larger"));
  const images = await clip.embedImages(pictures.map((file) => path.join(base, file)));
  const texts = await clip.embedTexts(captions);
  await clip.dispose();
  for (const { teacher, captions: said, size } of first.batches) {
    const width = images.shape[1];
    for (let i = 0; i < size; i++) {
      const which = captions.indexOf(said[i]!);
      const close = (given: Float32Array, wanted: Float32Array): void => {
        for (const [j, value] of wanted.entries()) expect(given[i * width + j]).toBeCloseTo(value, 3);
      };
      close(teacher!.image, row(images, which));
      close(teacher!.text, row(texts, which));
    }
  }

  const again = await seen("again");
  expect(again.said).toEqual([]);
  expect(again.batches.map(({ teacher }) => teacher)).toEqual(first.batches.map(({ teacher }) => teacher));
});

test("a picture that has changed since is noticed", async () => {
  await seen("before");
  const grey = await sharp({ create: { width: 9, height: 9, channels: 3, background: "grey" } })
    .png()
    .toBuffer();
  await writeFile(path.join(base, pictures[3]!), grey);
  await expect(seen("after")).rejects.toMatchObject({
    code: "SourceUnavailable",
    problem: expect.stringMatching(/another picture or caption than that of yellow\.png/),
    remedy: expect.stringContaining("Remove the file"),
  });
  expect((await stat(path.join(base, "teacher"))).isDirectory()).toBe(true);
});
