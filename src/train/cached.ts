/**
 * @file A batch's gradients micro-batch by micro-batch, as if it were learned from at once (GradCache: Gao et al. 2021;
 * open_clip's `--accum-freq`): features of all, their gradients by the loss of the whole batch, then each micro-batch
 * again, backwards from its features' gradients. What is in memory at once is one tower's activations of one micro-batch.
 * Ranks share the batch; the pictures' gradients are added up between them while the texts' are computed.
 *
 * Batch normalisation takes the statistics of a micro-batch, in both runs the same; the running averages move once a
 * step, by the mean over micro-batches and ranks.
 */
import type { FloatTensor } from "../runtime/index.js";
import { microBatches, teacherOf } from "./batch.js";
import type { Contrast } from "./contrast.js";
import type { Differentiator } from "./differentiate.js";
import type { Ranks } from "./ranks.js";
import type { Task } from "./stepper.js";
import type { Towers } from "./towers.js";

/**
 * The towers' gradients are where the towers put them. Ends `towers` and `contrast` with itself.
 * @param microBatch pairs whose activations are in memory at once
 */
export function createCached(
  { config, objective }: Task,
  microBatch: number,
  towers: Towers,
  contrast: Contrast,
  ranks: Ranks,
): Differentiator {
  const { embedSize } = config;
  return {
    async differentiate(batch) {
      const parts = microBatches(batch, microBatch);
      const rowsOf = (all: Float32Array, i: number): FloatTensor => ({
        data: all.subarray(i * microBatch * embedSize, (i * microBatch + parts[i]!.size) * embedSize),
        shape: [parts[i]!.size, embedSize],
      });
      const matrices = () => ({
        image: new Float32Array(batch.size * embedSize),
        text: new Float32Array(batch.size * embedSize),
      });
      const [features, upstream] = [matrices(), matrices()];

      // ---- encode
      const averages: Averages = new Map();
      for (const [i, part] of parts.entries()) {
        for (const side of ["image", "text"] as const) {
          const found = await towers.encode(side, part, rowsOf(features[side], i));
          addAverages(averages, found, part.size / (batch.size * ranks.size));
        }
      }

      // ---- contrast
      const teacher = teacherOf(objective, config, batch);
      const { ofNoTower, ...report } = await contrast.run(features, batch.group, teacher, upstream);
      await towers.begin(ofNoTower);

      // ---- backward: the pictures' gradients travel between ranks while the texts' are computed
      let travelling = Promise.resolve();
      for (const side of ["image", "text"] as const) {
        for (const [i, part] of parts.entries()) await towers.backward(side, part, rowsOf(upstream[side], i));
        await travelling;
        travelling = towers.sumOverRanks(side);
      }
      await travelling;
      for (const average of averages.values()) await ranks.sum(average);
      return { ...report, statistics: averages };
    },

    async dispose() {
      await contrast.dispose();
      await towers.dispose();
    },
  };
}

type Averages = Map<string, Float32Array>;

/** Adds `weight` times the running averages of a micro-batch. */
function addAverages(averages: Averages, found: ReadonlyMap<string, Float32Array>, weight: number): void {
  for (const [name, values] of found) {
    const sum = averages.get(name) ?? new Float32Array(values.length);
    averages.set(
      name,
      sum.map((value, i) => value + weight * values[i]!),
    );
  }
}
