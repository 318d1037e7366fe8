/**
 * @file The machine's own ceiling: GFLOP/s of nothing but fp32 matrix products of a tower's size, one after the other, in
 * ONNX Runtime. The products are an MLP's without its activation: `[R, D]·[D, 4D]`, then `[R, 4D]·[4D, D]`.
 * usage: node bench/ceiling.mjs [ROWS WIDTH]
 */
import { input, matmul } from "../dist/graph/index.js";
import { nodeRuntime } from "../dist/runtime/node.js";
import { bestSeconds, noise } from "./measure.mjs";

const [rows, width] = process.argv.length > 3 ? process.argv.slice(2).map(Number) : [64 * 65, 384];
const hidden = 4 * width;
const layers = 6;

const up = input("up", [width, hidden]);
const down = input("down", [hidden, width]);
let x = input("x", [rows, width]);
for (let i = 0; i < layers; i++) x = matmul(matmul(x, up), down);

const program = await nodeRuntime().compile({ y: x });
const feeds = {
  x: { data: noise(rows * width), shape: [rows, width] },
  up: { data: noise(width * hidden), shape: [width, hidden] },
  down: { data: noise(hidden * width), shape: [hidden, width] },
};
// About as long as a training step, and as many times as that is timed: what others do on the machine slows both alike.
const runs = 4;
const seconds = await bestSeconds(async () => {
  for (let i = 0; i < runs; i++) await program.run(feeds);
}, 5);
await program.dispose();
const flops = runs * layers * 2 * 2 * rows * width * hidden;
console.log(JSON.stringify({ what: "fp32 products", per_second: flops / seconds / 1e9 }));
