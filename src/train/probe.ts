/**
 * @file The probe: a few fixed pairs whose similarities are measured at every save, so that one sees the model learn them.
 * Held-out pairs where the recipe has some. Their pictures are kept as the model sees them, in `probe.json`.
 */
import { appendFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { ignoresPadding } from "../clip/index.js";
import { type Batch, batches, groupRows, openSource } from "../data/index.js";
import { cropSize, type PreprocessConfig } from "../image/index.js";
import { encodePng, thumbnail } from "../image/node.js";
import type { TensorData } from "../runtime/index.js";
import type { TrainingBatch } from "./batch.js";
import type { OpenRun } from "./observer.js";
import { openLog } from "./runFolder.js";

const pairsInProbe = 16;

/** Measures the probe behind `step` steps and writes a line of `probe.jsonl`. Answers with the cosines, `[N, N]`. */
export type Probe = (step: number) => Promise<TensorData>;

export async function openProbe(run: OpenRun): Promise<Probe> {
  const { out, plan, preprocess, trainer } = run;
  const batch = await firstPairs(run);
  const pairs = Array.from(batch.captions, async (caption, i) => ({
    caption,
    picture: await thumbnail(await seen(batch, i, preprocess)),
  }));
  await writeFile(path.join(out, "probe.json"), JSON.stringify(await Promise.all(pairs)));
  const log = await openLog(out, "probe.jsonl", plan.firstStep + 1); // the save at the first step has measured it
  return async (step) => {
    const cosines = await trainer.similarities(batch);
    await appendFile(log, `${JSON.stringify({ step, similarities: rowsOf(cosines, batch.size) })}\n`);
    return cosines;
  };
}

/** As evaluation sees them, in the order of the recipe's seed. */
async function firstPairs(run: OpenRun): Promise<Batch & TrainingBatch> {
  const { recipe, base, config, tokenizer, preprocess, pool } = run;
  const heldOut = recipe.validation && (await openSource(recipe.validation.data, base));
  const source = heldOut ?? run.source;
  try {
    const stream = batches(source, {
      batchSize: Math.min(pairsInProbe, source.length),
      seed: recipe.seed,
      tokenizer,
      contextLength: config.text.contextLength,
      padTo: ignoresPadding(config) ? "longest" : "context",
      preprocess,
      augment: null,
      pool,
      prefetch: 0,
    });
    for await (const batch of stream) return { ...batch, group: groupRows(batch.keys) };
    throw new Error("batches never end");
  } finally {
    await heldOut?.close();
  }
}

/** A row's picture as PNG, back from the numbers that the model reads. */
function seen({ pixels }: Batch, row: number, preprocess: PreprocessConfig): Promise<Uint8Array> {
  const { mean, std } = preprocess;
  const [height, width] = cropSize(preprocess);
  const area = height * width;
  const bytes = new Uint8ClampedArray(3 * area);
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < area; i++) {
      bytes[3 * i + channel] = 255 * (pixels[(3 * row + channel) * area + i]! * std[channel]! + mean[channel]!);
    }
  }
  return encodePng(new Uint8Array(bytes.buffer), width, height);
}

/** Four digits: what is drawn of them is two. */
const rowsOf = ({ data }: TensorData, size: number): number[][] =>
  Array.from({ length: size }, (_, i) =>
    Array.from({ length: size }, (_, j) => Math.round(1e4 * Number(data[i * size + j])) / 1e4),
  );

/** Edge of a cell, in pixels. */
const cell = 12;

/** Cosines `[N, N]` as a picture, the more alike the darker: a column a picture, a row a caption. */
export async function heatMap({
  data,
  shape,
}: TensorData): Promise<{ png: Uint8Array; width: number; height: number }> {
  const size = Number(shape[0]);
  const values = Array.from(data, Number);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const side = size * cell;
  const pixels = new Uint8Array(3 * side * side);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const value = values[Math.floor(x / cell) * size + Math.floor(y / cell)]!;
      const strength = high > low ? (value - low) / (high - low) : 1;
      pixels.set(
        blue.map((channel) => 255 + strength * (channel - 255)),
        3 * (y * side + x),
      );
    }
  }
  return { png: await encodePng(pixels, side, side), width: side, height: side };
}

/** The report's, #1b4f9c. */
const blue = [0x1b, 0x4f, 0x9c] as const;
