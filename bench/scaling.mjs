/**
 * @file What a step of batch 32,768 on many machines would cost: a model, from a machine's measured speed and the latency
 * that `collectives.mjs` measures. docs/scaling.md has the formulas.
 * usage: node bench/scaling.mjs [--gflops 300] [--latency 85] [--memory 10]   (GFLOP/s, µs, GB/s of one machine)
 */
import { parseArgs } from "node:util";
import { presets } from "../dist/clip/index.js";
import { stepFlops } from "./flops.mjs";

const { values } = parseArgs({
  options: {
    gflops: { type: "string", default: "300" },
    latency: { type: "string", default: "85" },
    memory: { type: "string", default: "10" },
  },
});
const [flopsPerSecond, latency, memory] = [values.gflops * 1e9, values.latency / 1e6, values.memory * 1e9];
const batch = 32_768;
const machines = [8, 64, 256];
const gigabits = [1, 10, 25, 100];
const parameters = 151.28e6;
/** Numbers that one collective sums, as in src/train/mpi.ts. */
const portion = 2 ** 23;

const { image, text, embedSize } = presets["ViT-B-32"];
const picture = {
  width: image.width,
  layers: image.layers,
  patch: image.patchSize,
  tokens: 1 + (image.imageSize / image.patchSize) ** 2,
};
const caption = { width: text.width, layers: text.layers, tokens: text.contextLength };
/** Forward and backward, and forward once more: features are worked out first, activations again when they are needed. */
const pairFlops = (4 / 3) * stepFlops({ picture, text: caption, embed: embedSize, batch });
/** Parameters, gradients and two moments read, all but the gradients written. */
const updateBytes = 7 * 4 * parameters;
const gatherBytes = 2 * 4 * batch * embedSize;
const sumBytes = 4 * parameters;

/** Seconds of a step on n machines, each `speed` times the measured one, on links of so many bytes a second. Rings throughout. */
function step(n, link, speed) {
  const share = 1 - 1 / n;
  const compute = (batch / n) * (pairFlops / (flopsPerSecond * speed));
  const update = updateBytes / (memory * speed);
  const gather = 2 * (n - 1) * latency + (share * gatherBytes) / link;
  const sum = 2 * (n - 1) * latency * Math.ceil(parameters / portion) + (2 * share * sumBytes) / link;
  return { compute, update, gather, sum, total: compute + update + gather + sum };
}

/** The machines at which half of a step is other than computing. */
function half(link, speed) {
  let n = 1;
  while (n < batch && step(n, link, speed).compute > step(n, link, speed).total / 2) n++;
  return n;
}

console.log(
  `${(pairFlops / 1e9).toFixed(1)} GFLOP a pair; ${(gatherBytes / 1e6).toFixed(0)} MB of features, ${(sumBytes / 1e6).toFixed(0)} MB of gradients`,
);
for (const speed of [1, 16]) {
  console.log(`\nmachines of ${((flopsPerSecond * speed) / 1e9).toFixed(0)} GFLOP/s`);
  console.log("  Gbit/s machines  compute   update   gather      sum     step  efficiency   half at");
  for (const gigabit of gigabits) {
    const link = (gigabit * 1e9) / 8;
    for (const n of machines) {
      const seconds = step(n, link, speed);
      const columns = [seconds.compute, seconds.update, seconds.gather, seconds.sum, seconds.total];
      const text = columns.map((value) => value.toFixed(2).padStart(8)).join(" ");
      const efficiency = `${((100 * seconds.compute) / seconds.total).toFixed(0)}%`.padStart(10);
      const end = n === machines[0] ? String(half(link, speed)).padStart(10) : "";
      console.log(`${String(gigabit).padStart(8)} ${String(n).padStart(8)} ${text} ${efficiency} ${end}`);
    }
  }
}
