/**
 * @file The running average of what a run learns (Polyak & Juditsky 1992): average ← k·average + (1 − k)·parameters after
 * every update. One more arena, and one small program over it in chunks, as in `adamw.ts`.
 * Young averages forget their beginning faster, k = min(decay, (1 + t) / (10 + t)) after t updates, as TensorFlow's
 * `ExponentialMovingAverage` with `num_updates`: 0.9999 is of use to short runs too.
 */
import { add, input, mul, type Tensor } from "../graph/index.js";
import type { Runtime, TensorData } from "../runtime/index.js";
import { chunks } from "./arena.js";

export interface Ema {
  /** @param updates how many there have been, with the one that made `parameters` */
  update(parameters: Float32Array, updates: number): Promise<void>;
  dispose(): Promise<void>;
}

/** Scalars, `[]`: k and 1 − k. */
export interface EmaScalars<T> {
  readonly kept: T;
  readonly taken: T;
}

/** The average after an update: tensors of one shape. */
export const averaged = (average: Tensor, parameters: Tensor, { kept, taken }: EmaScalars<Tensor>): Tensor =>
  add(mul(average, kept), mul(parameters, taken));

/** k and 1 − k after so many updates. */
export function emaScalars(decay: number, updates: number): EmaScalars<number> {
  const kept = Math.min(decay, (1 + updates) / (10 + updates));
  return { kept, taken: 1 - kept };
}

/** @param average what to go on from, laid out as the beginning of the parameters; updated in place */
export async function createEma(average: Float32Array, decay: number, runtime: Runtime): Promise<Ema> {
  const array = (name: string) => input(name, ["N"]);
  const scalars = { kept: input("kept", []), taken: input("taken", []) };
  const program = await runtime.compile({ moved: averaged(array("average"), array("parameters"), scalars) });
  const number = (value: number): TensorData => ({ data: Float32Array.of(value), shape: [] });
  return {
    async update(parameters, updates) {
      const { kept, taken } = emaScalars(decay, updates);
      const feeds = { kept: number(kept), taken: number(taken) };
      for (const [from, to] of chunks(0, average.length)) {
        const part = (arena: Float32Array): TensorData => ({ data: arena.subarray(from, to), shape: [to - from] });
        await program.run({ average: part(average), parameters: part(parameters), ...feeds }, { moved: part(average) });
      }
    },
    dispose: () => program.dispose(),
  };
}
