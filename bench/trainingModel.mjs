/** @file What the training benchmark trains: the model that the peers' `torch_train.py` has by default, on random pairs. */
import { parameterTable } from "../dist/clip/index.js";
import { Trainer } from "../dist/train/index.js";
import { noise } from "./measure.mjs";

/** @type {import("../dist/clip/index.js").ClipConfig} */
export const model = {
  embedSize: 256,
  activation: "quick_gelu",
  image: { kind: "vit", imageSize: 64, patchSize: 8, width: 384, layers: 6, heads: 6, mlpWidth: 1536 },
  text: { contextLength: 16, vocabularySize: 8192, width: 256, layers: 4, heads: 4, mlpWidth: 1024 },
};
export const batch = 64;

export const pairs = {
  pixels: noise(batch * 3 * model.image.imageSize ** 2),
  ids: Int32Array.from({ length: batch * model.text.contextLength }, () => Math.random() * model.text.vocabularySize),
  length: model.text.contextLength,
  size: batch,
  group: Int32Array.from({ length: batch }, (_, i) => i),
};

/** @param {import("../dist/runtime/index.js").Precision} precision */
export function createTrainer(precision, runtime) {
  const values = new Map(
    parameterTable(model).map(({ name, shape }) => [name, { data: noise(shape.reduce((a, b) => a * b, 1)) }]),
  );
  const adamw = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2, clipNorm: null };
  return Trainer.create(model, values, { ...adamw, batchSize: batch, precision }, runtime);
}
