/** @file Eight pairs on disk, a flat colour each, with a table of their captions; and a recipe that learns them. */
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import sharp from "sharp";
import { parseRecipe, type Recipe } from "../../src/train/index.js";

const colours = {
  red: [230, 20, 20],
  green: [20, 200, 30],
  blue: [20, 30, 220],
  yellow: [240, 230, 10],
  black: [5, 5, 5],
  white: [250, 250, 250],
  violet: [150, 20, 200],
  grey: [128, 128, 128],
} as const;

export const captions: readonly string[] = Object.keys(colours).map((name) => `a ${name} picture`);
export const pictures: readonly string[] = Object.keys(colours).map((name) => `${name}.png`);

/** Writes the pictures and `captions.csv`; `extra` rows are files that the table names and the caller may write. */
export async function writePairs(folder: string, extra: readonly string[] = [], scale = 1): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, [r, g, b]] of Object.entries(colours)) {
    await sharp({ create: { width: 40 * scale, height: 36 * scale, channels: 3, background: { r, g, b } } })
      .png()
      .toFile(path.join(folder, `${name}.png`));
  }
  const rows = [...pictures.map((file, i) => `${file},${captions[i]}`), ...extra.map((file) => `${file},an extra one`)];
  await writeFile(path.join(folder, "captions.csv"), `filename,caption\n${rows.join("\n")}\n`);
}

export const recipe = (changes: Record<string, unknown> = {}): Recipe =>
  parseRecipe({
    model: "ViT-test",
    data: { table: "captions.csv" },
    tokenizer: { vocabularySize: 560 },
    batchSize: 8,
    epochs: 40,
    learningRate: 3e-3,
    warmup: 5,
    seed: 1,
    ...changes,
  });
