/**
 * @file One rank of `collectives.mjs`: microseconds of a step's collectives against bytes, as one line of JSON from rank 0.
 * usage: mpirun -n N node bench/collectivesRank.mjs
 */
import { openRanks } from "../dist/train/index.js";

/** The fastest of so many runs, or of as many as fit: ranks that wait for a core measure the other work on the machine. */
const [mostRuns, mostSeconds] = [300, 3];
const ranks = await openRanks();
const timed = {
  /** Bytes: what every rank has in the end. */
  gather: (bytes) => {
    const part = new Float32Array(Math.max(1, bytes / 4 / ranks.size));
    return () => ranks.allGather(part);
  },
  /** Bytes: the array that is summed. */
  sum: (bytes) => {
    const values = new Float32Array(bytes / 4);
    return () => ranks.sum(values);
  },
};

const measured = [];
for (let bytes = 1024; bytes <= 32 << 20; bytes *= 8) {
  const row = { bytes };
  for (const [name, prepare] of Object.entries(timed)) {
    const run = prepare(bytes);
    await run();
    let best = Number.POSITIVE_INFINITY;
    const began = performance.now();
    const isOver = async () =>
      (await ranks.allGather(Int32Array.of(performance.now() - began)))[0] > 1000 * mostSeconds;
    for (let i = 0; i < mostRuns && !(await isOver()); i++) {
      const start = performance.now();
      await run();
      best = Math.min(best, 1000 * (performance.now() - start));
    }
    row[name] = best;
  }
  measured.push(row);
}
if (ranks.rank === 0) console.log(JSON.stringify(measured));
await ranks.dispose();
