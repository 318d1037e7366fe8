/** @file The model that the training benchmark trains: the defaults of the peers' `torch_train.py`. */

/** @type {import("../dist/clip/index.js").ClipConfig} */
export const model = {
  embedSize: 256,
  activation: "quick_gelu",
  image: { kind: "vit", imageSize: 64, patchSize: 8, width: 384, layers: 6, heads: 6, mlpWidth: 1536 },
  text: { contextLength: 16, vocabularySize: 8192, width: 256, layers: 4, heads: 4, mlpWidth: 1024 },
};
export const batch = 64;
