/**
 * @file The timed process of `train.mjs`: Diptych's training step, or only the picture tower's blocks.
 * usage: node bench/trainDiptych.mjs [--blocks-only]
 */
import { Parameters, parameterTable, transformer } from "../dist/clip/index.js";
import { concat, gradient, input, share, slice } from "../dist/graph/index.js";
import { nodeRuntime } from "../dist/runtime/node.js";
import { imagesAtATime, Trainer } from "../dist/train/index.js";
import { bestSeconds, noise } from "./measure.mjs";
import { batch, model } from "./trainingModel.mjs";

const runtime = nodeRuntime();
const dense = (shape) => ({ data: noise(shape.reduce((a, b) => a * b, 1)), shape });

/** Forward and backward of the blocks, the gradients written to buffers that stay. */
async function blocks() {
  const { imageSize, patchSize, width } = model.image;
  const tokens = 1 + (imageSize / patchSize) ** 2;
  const parameters = Parameters.root();
  const x = input("x", [batch * tokens, width]);
  // In portions, as the training step runs its picture tower.
  const some = (i) => slice(x, 0, i * imagesAtATime * tokens, (i + 1) * imagesAtATime * tokens);
  const blocksOf = (i) =>
    transformer(model.image, model.activation, parameters, { x: some(i), batch: imagesAtATime, tokens });
  const { y } = share({
    y: concat(
      Array.from({ length: batch / imagesAtATime }, (_, i) => blocksOf(i)),
      0,
    ),
  });
  const upstream = input("upstream", x.shape);
  const sources = new Map([["x", x], ...parameters.all()]);
  const gradients = gradient(y, [...sources.values()], upstream);
  const program = await runtime.compile({
    y,
    ...Object.fromEntries([...sources.keys()].map((name, i) => [`d ${name}`, gradients[i]])),
  });
  const feeds = Object.fromEntries([...sources].map(([name, { shape }]) => [name, dense(shape)]));
  feeds.upstream = dense(x.shape);
  const into = Object.fromEntries([...sources].map(([name, { shape }]) => [`d ${name}`, dense(shape)]));
  into.y = dense(y.shape);
  return () => program.run(feeds, into);
}

/** Loss, gradients, update. */
async function step() {
  const values = new Map(parameterTable(model).map(({ name, shape }) => [name, dense(shape)]));
  const adamw = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2, clipNorm: null };
  const trainer = await Trainer.create(model, values, { ...adamw, batchSize: batch }, runtime);
  const { contextLength: length, vocabularySize } = model.text;
  const pairs = {
    pixels: noise(batch * 3 * model.image.imageSize ** 2),
    ids: Int32Array.from({ length: batch * length }, () => Math.random() * vocabularySize),
    length,
    size: batch,
    group: Int32Array.from({ length: batch }, (_, i) => i),
  };
  return () => trainer.step(pairs, 5e-4);
}

const run = await (process.argv.includes("--blocks-only") ? blocks() : step());
console.log(JSON.stringify({ what: "fp32", per_second: batch / (await bestSeconds(run, 5)) }));
