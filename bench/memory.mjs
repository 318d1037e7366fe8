/**
 * @file How much memory a training step takes: the largest resident size of a process that does one step on random pairs,
 * beside what has to be there. The pairs themselves are counted apart: they are the data's, and grow with the batch.
 * usage: node bench/memory.mjs [--model ViT-B-32] [--batch 4096] [--micro 32] [--length 77]
 */
import { parseArgs } from "node:util";
import { imageTower, parameterTable, presets, textTower } from "../dist/clip/index.js";
import { nodeRuntime } from "../dist/runtime/node.js";
import { imagesAtATime, Trainer } from "../dist/train/index.js";
import { activationBytes } from "./activations.mjs";
import { noise } from "./measure.mjs";
import { table } from "./turns.mjs";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "ViT-B-32" },
    batch: { type: "string", default: "4096" },
    micro: { type: "string", default: "32" },
    length: { type: "string", default: "77" },
  },
});
const [batch, micro, length] = [values.batch, values.micro, values.length].map(Number);
const config = presets[values.model];

const empty = process.memoryUsage.rss();
const sizes = new Map(parameterTable(config).map(({ name, shape }) => [name, shape.reduce((a, b) => a * b, 1)]));
const random = noise(Math.max(...sizes.values()));
const weights = { get: (name) => ({ data: random.subarray(0, sizes.get(name)) }) };
const adamw = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2, clipNorm: 1 };
const trainer = await Trainer.create(config, weights, { ...adamw, batchSize: batch, microBatch: micro }, nodeRuntime());
const pairs = {
  pixels: new Float32Array(batch * 3 * config.image.imageSize ** 2),
  ids: Int32Array.from({ length: batch * length }, () => Math.random() * config.text.vocabularySize),
  length,
  size: batch,
  group: Int32Array.from({ length: batch }, (_, i) => i),
};
for (const i of pairs.pixels.keys()) pairs.pixels[i] = Math.random() - 0.5;
const start = performance.now();
await trainer.step(pairs, 1e-5);
const seconds = (performance.now() - start) / 1000;
const peak = process.resourceUsage().maxRSS * 1024;

const { gradients } = trainer;
const { parameters, first, second } = await trainer.state();
const tower = { training: true, imagesAtATime };
const needed = {
  parameters: parameters.byteLength,
  "both moments": first.byteLength + second.byteLength,
  "a micro-batch's activations, pictures": activationBytes(
    (size) => imageTower(config, { ...tower, batch: size }),
    micro,
  ),
  "a micro-batch's activations, texts": activationBytes(() => textTower(config, tower), micro, { L: length }),
  "features of all pairs": 2 * batch * config.embedSize * 4,
};
const sum = Object.values(needed).reduce((a, b) => a + b);
const data = pairs.pixels.byteLength + pairs.ids.byteLength + pairs.group.byteLength;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

console.log(
  `${values.model}, ${batch} pairs in micro-batches of ${micro}, ${length} tokens a text; ${seconds.toFixed(0)} s\n`,
);
const counted = { ...needed, "what has to be there": sum };
const found = {
  "largest resident size": peak,
  "of that the pairs": data,
  "without them": peak - data,
  "of that gradients": gradients.byteLength,
  "of that Node.js before anything": empty,
};
const rows = (all) => Object.entries(all).map(([name, bytes]) => [name, megabytes(bytes)]);
console.log(`${table([...rows(counted), ["", ""], ...rows(found)])}\n`);
console.log(`${((peak - data) / sum).toFixed(2)} × what has to be there`);
await trainer.dispose();
