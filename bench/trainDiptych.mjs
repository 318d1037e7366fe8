/**
 * @file The timed process of `train.mjs`: Diptych's training step, or only the picture tower's blocks, in either precision.
 * usage: node bench/trainDiptych.mjs [--blocks-only]
 */
import { Parameters, transformer } from "../dist/clip/index.js";
import { concat, gradient, input, share, slice } from "../dist/graph/index.js";
import { withPrecision } from "../dist/runtime/index.js";
import { nodeRuntime } from "../dist/runtime/node.js";
import { imagesAtATime } from "../dist/train/index.js";
import { bestSeconds, noise } from "./measure.mjs";
import { batch, createTrainer, model, pairs } from "./trainingModel.mjs";

const runtime = nodeRuntime();
const dense = (shape) => ({ data: noise(shape.reduce((a, b) => a * b, 1)), shape });

/** Forward and backward of the blocks, the gradients written to buffers that stay. */
async function blocks(precision) {
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
  const outputs = { y, ...Object.fromEntries([...sources.keys()].map((name, i) => [`d ${name}`, gradients[i]])) };
  const program = await runtime.compile(await withPrecision(precision, outputs, parameters.all().keys(), runtime));
  const feeds = Object.fromEntries([...sources].map(([name, { shape }]) => [name, dense(shape)]));
  feeds.upstream = dense(x.shape);
  const into = Object.fromEntries([...sources].map(([name, { shape }]) => [`d ${name}`, dense(shape)]));
  into.y = dense(y.shape);
  return { run: () => program.run(feeds, into), dispose: () => program.dispose() };
}

/** Loss, gradients, update. */
async function step(precision) {
  const trainer = await createTrainer(precision, runtime);
  return { run: () => trainer.step(pairs, 5e-4), dispose: () => trainer.dispose() };
}

const prepare = process.argv.includes("--blocks-only") ? blocks : step;
for (const precision of ["fp32", "int8"]) {
  const { run, dispose } = await prepare(precision);
  console.log(JSON.stringify({ what: precision, per_second: batch / (await bestSeconds(run, 5)) }));
  await dispose();
}
