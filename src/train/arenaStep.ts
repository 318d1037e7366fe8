/**
 * @file A step over arenas in the process's memory: the gradients of a batch, in one program or micro-batch by micro-batch,
 * then the update. Programs read and write views of the arenas.
 */
import { type Precision, type Runtime, withPrecision } from "../runtime/index.js";
import { AdamW } from "./adamw.js";
import { arenaViews, type Layout } from "./arena.js";
import { createCached } from "./cached.js";
import type { Model } from "./differentiate.js";
import { createEma } from "./ema.js";
import { createFused } from "./fused.js";
import { layerRates } from "./layerDecay.js";
import { clampedScale, isClamped } from "./logitScale.js";
import type { Ranks } from "./ranks.js";
import type { State } from "./state.js";
import type { Stepper, Task, TrainerOptions } from "./stepper.js";

interface Surroundings {
  readonly runtime: Runtime;
  readonly ranks: Ranks;
  readonly precision: Precision;
  /** Pairs of this process in a step, and those whose activations are in memory at once. */
  readonly share: number;
  readonly microBatch: number;
}

/** @param start goes on being the state: it is written to. @param steps updates that it has behind it */
export async function createArenaStepper(
  task: Task,
  layout: Layout,
  start: State,
  steps: number,
  options: TrainerOptions,
  { runtime, ranks, precision, share, microBatch }: Surroundings,
): Promise<Stepper> {
  const { config } = task;
  const { parameters } = start;
  const gradients = new Float32Array(layout.learned);
  const views = arenaViews(layout, parameters);
  const model: Model = {
    ...task,
    parameters: views,
    gradients: arenaViews(layout, gradients),
    arena: gradients,
    runtime,
    compile: async (outputs, how) =>
      runtime.compile(await withPrecision(precision, outputs, views.keys(), runtime), how),
  };
  const differentiator =
    ranks.size === 1 && microBatch >= share
      ? await createFused(model, share)
      : await createCached(model, Math.min(microBatch, share), layout, ranks);
  const rates = layerRates(config, options.layerDecay ?? 1);
  const optimiser = await AdamW.create(layout, options, runtime, rates, { ...start, steps });
  const ema = start.average && options.ema !== undefined ? await createEma(start.average, options.ema, runtime) : null;
  const scale = views.get("logit_scale")!.data;
  return {
    get steps() {
      return optimiser.steps;
    },
    gradients,
    async step(batch, learningRate) {
      const { statistics, ...report } = await differentiator.differentiate(batch);
      for (const [name, data] of statistics) views.get(name)!.data.set(data);
      const gradientNorm = await optimiser.step(parameters, gradients, learningRate);
      if (isClamped(config, options)) scale[0] = clampedScale(scale[0]!);
      await ema?.update(parameters, optimiser.steps);
      return { ...report, gradientNorm, logitScale: Math.exp(scale[0]!) };
    },
    state: async () => start,
    async dispose() {
      await differentiator.dispose();
      await optimiser.dispose();
      await ema?.dispose();
    },
  };
}
