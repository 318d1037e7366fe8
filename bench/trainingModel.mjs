/** @file What the training benchmarks train, on random pairs. */
import { parameterTable, presets } from "../dist/clip/index.js";
import { Trainer } from "../dist/train/index.js";
import { noise } from "./measure.mjs";

/**
 * The model that the peers' `torch_train.py` has by default.
 * @type {import("../dist/clip/index.js").ClipConfig}
 */
export const model = {
  embedSize: 256,
  activation: "quick_gelu",
  image: { kind: "vit", imageSize: 64, patchSize: 8, width: 384, layers: 6, heads: 6, mlpWidth: 1536 },
  text: { contextLength: 16, vocabularySize: 8192, width: 256, layers: 4, heads: 4, mlpWidth: 1024 },
};
export const batch = 64;

/** ResNets by name, with pairs in a step; `resnet_torch.py` has the same. */
export const resnets = {
  "RN50, 224×224": { model: presets.RN50, batch: 16 },
  "small, 64×64": {
    model: {
      embedSize: 256,
      activation: "quick_gelu",
      image: { kind: "resnet", imageSize: 64, width: 24, layers: [2, 2, 2, 2], heads: 12 },
      text: { contextLength: 24, vocabularySize: 4096, width: 192, heads: 3, layers: 4, mlpWidth: 768 },
    },
    batch: 128,
  },
};

export const randomPairs = ({ image, text }, size) => ({
  pixels: noise(size * 3 * image.imageSize ** 2),
  ids: Int32Array.from({ length: size * text.contextLength }, () => Math.random() * text.vocabularySize),
  length: text.contextLength,
  size,
  group: Int32Array.from({ length: size }, (_, i) => i),
});
export const pairs = randomPairs(model, batch);

/** @param {import("../dist/runtime/index.js").Precision} precision */
export function createTrainer(precision, runtime, trained = model, batchSize = batch) {
  const values = new Map(
    parameterTable(trained).map(({ name, shape }) => [name, { data: noise(shape.reduce((a, b) => a * b, 1)) }]),
  );
  const adamw = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2, clipNorm: null };
  return Trainer.create(trained, values, { ...adamw, batchSize, precision }, runtime);
}
