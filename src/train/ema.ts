/**
 * @file The running average of what a run learns (Polyak & Juditsky 1992): average ← k·average + (1 − k)·parameters after
 * every update. One more arena, and one small program over it in chunks, as in `adamw.ts`.
 * Young averages forget their beginning faster, k = min(decay, (1 + t) / (10 + t)) after t updates, as TensorFlow's
 * `ExponentialMovingAverage` with `num_updates`: 0.9999 is of use to short runs too.
 */
import { add, input, mul } from "../graph/index.js";
import type { Runtime, TensorData } from "../runtime/index.js";
import { chunks } from "./arena.js";

export interface Ema {
  /** Laid out as the learned part of the parameters' arena. */
  readonly average: Float32Array;
  /** @param updates how many there have been, with the one that made `parameters` */
  update(parameters: Float32Array, updates: number): Promise<void>;
  dispose(): Promise<void>;
}

/** @param start parameters to begin with; what is behind the first `learned` is not averaged */
export async function createEma(start: Float32Array, learned: number, decay: number, runtime: Runtime): Promise<Ema> {
  const array = (name: string) => input(name, ["N"]);
  const scalar = (name: string) => input(name, []);
  const kept = mul(array("average"), scalar("keep"));
  const program = await runtime.compile({ moved: add(kept, mul(array("parameters"), scalar("take"))) });
  const average = start.slice(0, learned);
  const number = (value: number): TensorData => ({ data: Float32Array.of(value), shape: [] });
  return {
    average,
    async update(parameters, updates) {
      const keep = Math.min(decay, (1 + updates) / (10 + updates));
      const scalars = { keep: number(keep), take: number(1 - keep) };
      for (const [from, to] of chunks(0, learned)) {
        const part = (arena: Float32Array): TensorData => ({ data: arena.subarray(from, to), shape: [to - from] });
        await program.run(
          { average: part(average), parameters: part(parameters), ...scalars },
          { moved: part(average) },
        );
      }
    },
    dispose: () => program.dispose(),
  };
}
