/** @file What the timed processes share: the clock, and numbers to compute with. Speed does not depend on their values. */

/** Seconds of the fastest of `runs` runs, after one that is not counted; the peers' scripts measure in the same way. */
export async function bestSeconds(run, runs) {
  await run();
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    await run();
    best = Math.min(best, performance.now() - start);
  }
  return best / 1000;
}

/** Small numbers around zero. */
export const noise = (length) => Float32Array.from({ length }, () => 0.02 * (Math.random() - 0.5));
