/** @file The graph that makes a new state of a state and its gradients, tensor by tensor, and what it takes beside them. */
import { input, type Tensor } from "../graph/index.js";
import type { TensorData } from "../runtime/index.js";
import type { learnedParts } from "./arena.js";
import { averaged, emaScalars } from "./ema.js";
import { clampedScaleOf, isClamped } from "./logitScale.js";
import { prefixes } from "./state.js";
import type { Task, TrainerOptions } from "./stepper.js";
import { clipFactorOf, normOf, scalarsAt, update } from "./update.js";

type Named = ReadonlyMap<string, Tensor>;

/**
 * @param learned the parameters that change
 * @param stored all parameters
 * @param gradients of those that change
 * @returns `next`: the parts of the state that change, by name, as they are afterwards; `gradientNorm` before clipping
 */
export function updateGraph(
  { config }: Task,
  learned: ReturnType<typeof learnedParts>,
  stored: Named,
  gradients: Named,
  options: TrainerOptions,
): { readonly next: ReadonlyMap<string, Tensor>; readonly gradientNorm: Tensor } {
  const scalar = (name: string) => input(name, []);
  const gradientNorm = normOf([...gradients.values()]);
  const shared = { clip: clipFactorOf(gradientNorm, options.clipNorm), tiny: scalar("tiny") };
  const next = new Map<string, Tensor>();
  for (const { name, decays, rate } of learned) {
    const parameters = stored.get(name)!;
    const beside = (kind: keyof typeof prefixes) => input(prefixes[kind] + name, parameters.shape);
    const updated = update(
      { parameters, first: beside("first"), second: beside("second") },
      gradients.get(name)!,
      { ...shared, rate: scalar(`rate ${rate}`), keep: decays ? scalar(`keep ${rate}`) : 1 },
      options,
    );
    const isScale = name === "logit_scale" && isClamped(config, options);
    const value = isScale ? clampedScaleOf(updated.parameters) : updated.parameters;
    next.set(name, value);
    next.set(prefixes.first + name, updated.first);
    next.set(prefixes.second + name, updated.second);
    if (options.ema === undefined) continue;
    const shares = { kept: scalar("kept"), taken: scalar("taken") };
    next.set(prefixes.average + name, averaged(beside("average"), value, shares));
  }
  return { next, gradientNorm };
}

/** The scalar inputs of `updateGraph` at update `count`. @param shares of the learning rate that there are */
export function updateScalars(
  options: TrainerOptions,
  shares: ReadonlySet<number>,
  count: number,
  learningRate: number,
): Record<string, TensorData> {
  const { tiny, rate, keep } = scalarsAt(options, count, learningRate);
  const values = {
    tiny,
    ...Object.fromEntries(
      [...shares].flatMap((share) => [
        [`rate ${share}`, rate(share)],
        [`keep ${share}`, keep(share)],
      ]),
    ),
    ...(options.ema !== undefined && emaScalars(options.ema, count)),
  };
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, { data: Float32Array.of(value), shape: [] }]),
  );
}
