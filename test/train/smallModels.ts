/** @file Models that are small enough to be trained in a moment, and a batch for them. */
import { type ClipConfig, inputSides, presets } from "../../src/clip/index.js";
import { randomStream } from "../../src/image/index.js";
import type { TrainingBatch } from "../../src/train/index.js";

export const batchSize = 8;

const { image: imageTower, text: textTower, ...sizes } = presets["ViT-test"];
export const vit: ClipConfig = {
  ...sizes,
  image: { ...imageTower, layers: 1 } as ClipConfig["image"],
  text: { ...textTower, layers: 1, vocabularySize: 60 },
};
export const sigmoidVit: ClipConfig = { ...vit, logitBias: true };
export const resnet: ClipConfig = {
  ...vit,
  image: { kind: "resnet", imageSize: 32, layers: [1, 1, 1, 1], width: 8, heads: 4 },
};

/** Random pairs, shorter texts first; the first and the last two have one caption. */
export function batchFor(config: ClipConfig): TrainingBatch {
  const random = randomStream([3]);
  const numbers = (length: number) => Float32Array.from({ length }, () => 2 * random() - 1);
  const length = 12;
  const lengths = Int32Array.from({ length: batchSize }, (_, row) => 4 + row);
  const ids = new Int32Array(batchSize * length);
  for (const [row, tokens] of lengths.entries()) {
    for (let i = 0; i < tokens; i++) ids[row * length + i] = i === tokens - 1 ? 59 : 1 + Math.floor(random() * 50);
  }
  const [height, width] = inputSides(config);
  return {
    pixels: numbers(batchSize * 3 * height * width),
    ids,
    length,
    lengths,
    size: batchSize,
    group: Int32Array.of(0, 1, 2, 3, 4, 5, 0, 0),
    teacher: { image: numbers(batchSize * config.embedSize), text: numbers(batchSize * config.embedSize) },
  };
}
