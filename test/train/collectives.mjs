/** @file One rank of `mpi.test.ts`: does what its argument names, and prints what came out as one line of JSON. */
import { createHash } from "node:crypto";
import { openRanks } from "../../dist/train/index.js";

const ranks = await openRanks();
const { rank, size } = ranks;

async function gather() {
  const floats = await ranks.allGather(Float32Array.of(rank, rank + 0.5));
  const ints = await ranks.allGather(Int32Array.of(-rank, 2 ** 30 + rank));
  return { floats: [...floats], ints: [...ints] };
}

/** Lengths below, at and beyond the ranks' number, and beyond one portion. The event loop must turn meanwhile. */
async function sum() {
  let turns = 0;
  const ticking = setInterval(() => turns++, 1);
  const sums = [];
  for (const length of [0, 1, size, 1001]) {
    const values = numbers(length, rank);
    await ranks.sum(values);
    sums.push({ hash: hash(values), error: errorOf(values) });
  }
  const long = new Float32Array(2 ** 23 + 1).fill(rank); // beyond one portion
  await ranks.sum(long);
  const right = (size * (size - 1)) / 2;
  sums.push({ hash: hash(long), error: long.every((value) => value === right) ? 0 : 1 });
  clearInterval(ticking);
  return { sums, turned: turns > 0 };
}

/** Three collectives asked for at once. */
async function order() {
  const sums = [numbers(100_000, rank), Float32Array.of(rank)];
  const [, gathered] = await Promise.all([
    ranks.sum(sums[0]),
    ranks.allGather(Int32Array.of(rank)),
    ranks.sum(sums[1]),
  ]);
  await ranks.barrier();
  return { gathered: [...gathered], sum: sums[1][0] };
}

/** Of all magnitudes, so that the bits of a sum depend on the order of adding. */
function numbers(length, seed) {
  let state = seed + 1;
  const values = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[i] = state / 2 ** (Math.abs(state) % 20);
  }
  return values;
}

/** Largest difference of sums from the numbers' sums in float64, as a share of the sum of magnitudes. */
function errorOf(sums) {
  const parts = Array.from({ length: size }, (_, r) => numbers(sums.length, r));
  let worst = 0;
  for (let i = 0; i < sums.length; i++) {
    let [exact, magnitude] = [0, 1e-30];
    for (const part of parts) {
      exact += part[i];
      magnitude += Math.abs(part[i]);
    }
    worst = Math.max(worst, Math.abs(sums[i] - exact) / magnitude);
  }
  return worst;
}

const hash = (values) => createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex");

switch (process.argv[2]) {
  case "collectives": {
    const results = { ...(await gather()), ...(await sum()), ...(await order()) };
    process.stdout.write(`${JSON.stringify({ rank, size, ...results })}\n`);
    await ranks.dispose();
    break;
  }
  case "abort":
    if (rank === 1) ranks.abort("the disk is full");
    await ranks.barrier();
    break;
  case "wait": // until rank 1 is killed
    if (rank === 1) process.stdout.write(`${process.pid}\n`);
    else await ranks.barrier();
    await new Promise((resolve) => setTimeout(resolve, 60_000));
}
