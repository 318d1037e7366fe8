/**
 * @file A step over arenas in the process's memory: the gradients of a batch, in one program or micro-batch by micro-batch,
 * then the update. Programs read and write views of the arenas.
 */
import { withPrecision } from "../runtime/index.js";
import { AdamW } from "./adamw.js";
import { arenaViews, type Layout } from "./arena.js";
import { createArenaTowers } from "./arenaTowers.js";
import { createCached } from "./cached.js";
import { createContrast } from "./contrast.js";
import type { Model } from "./differentiate.js";
import { createEma } from "./ema.js";
import { createFused } from "./fused.js";
import { layerRates } from "./layerDecay.js";
import { clampedScale, isClamped } from "./logitScale.js";
import type { State } from "./state.js";
import { isWhole, type Stepper, type Surroundings, type Task, type TrainerOptions } from "./stepper.js";

/** @param start goes on being the state: it is written to. @param steps updates that it has behind it */
export async function createArenaStepper(
  task: Task,
  layout: Layout,
  start: State,
  steps: number,
  options: TrainerOptions,
  surroundings: Surroundings,
): Promise<Stepper> {
  const { runtime, ranks, share, microBatch } = surroundings;
  const { config } = task;
  const { precision = "fp32" } = options;
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
  const differentiator = isWhole(surroundings)
    ? await createFused(model, share)
    : createCached(
        model,
        microBatch,
        createArenaTowers(model, layout, ranks),
        await createContrast(model, views, runtime, ranks),
        ranks,
      );
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
