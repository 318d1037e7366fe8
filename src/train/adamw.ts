/** @file AdamW over arenas, in chunks that fit the cache, through one small program; the formula is `update.ts`'s. */
import { input, mul, sum } from "../graph/index.js";
import type { Program, Runtime, TensorData } from "../runtime/index.js";
import { chunks, type Layout, type Stretch, stretches } from "./arena.js";
import { type AdamWOptions, clipFactor, scalarsAt, update } from "./update.js";

/** Numbers of one sum in float32, so few that the norm is right to seven digits, and sums of one run. */
const SUMMED = 1 << 10;
const SUMS = 1 << 8;

/** Both moments, arenas like the parameters', after `steps` updates. */
export interface Moments {
  readonly first: Float32Array;
  readonly second: Float32Array;
  readonly steps: number;
}

/** The optimiser's state and programs, held open until `dispose`. */
export class AdamW implements Moments {
  private constructor(
    readonly first: Float32Array,
    readonly second: Float32Array,
    /** Updates done. */
    public steps: number,
    private readonly parts: readonly Stretch[],
    private readonly options: AdamWOptions,
    private readonly update: Program,
    private readonly squares: Program,
  ) {}

  /**
   * @param rateOf each parameter's share of the learning rate
   * @param start what to go on from, which is written to; zeros unless given
   */
  static async create(
    layout: Layout,
    options: AdamWOptions,
    runtime: Runtime,
    rateOf: (name: string) => number = () => 1,
    start: Moments = { first: new Float32Array(layout.learned), second: new Float32Array(layout.learned), steps: 0 },
  ): Promise<AdamW> {
    const array = (name: string) => input(name, ["N"]);
    const scalar = (name: string) => input(name, []);
    const rows = input("rows", ["R", "N"]);
    const squares = await runtime.compile({ squares: sum(mul(rows, rows), [1]) });
    const updated = update(
      { parameters: array("parameters"), first: array("first"), second: array("second") },
      array("gradient"),
      {
        clip: scalar("clip"),
        keep: scalar("keep"),
        rate: scalar("rate"),
        tiny: scalar("tiny"),
      },
      options,
    );
    const program = await runtime.compile({
      newParameters: updated.parameters,
      newFirst: updated.first,
      newSecond: updated.second,
    });
    return new AdamW(start.first, start.second, start.steps, stretches(layout, rateOf), options, program, squares);
  }

  /** Euclidean norm of all gradients. */
  async norm(gradients: Float32Array): Promise<number> {
    let total = 0;
    const addRows = async (from: number, count: number, length: number): Promise<void> => {
      const data = gradients.subarray(from, from + count * length);
      const { squares } = await this.squares.run({ rows: { data, shape: [count, length] } });
      for (const square of squares!.data as Float32Array) total += square;
    };
    const whole = Math.floor(gradients.length / SUMMED);
    for (const [from, to] of chunks(0, whole, SUMS)) await addRows(from * SUMMED, to - from, SUMMED);
    const rest = gradients.length - whole * SUMMED;
    if (rest > 0) await addRows(whole * SUMMED, 1, rest);
    return Math.sqrt(total);
  }

  /** Updates the parameters in place; returns the gradients' norm before clipping. */
  async step(parameters: Float32Array, gradients: Float32Array, learningRate: number): Promise<number> {
    const norm = await this.norm(gradients);
    this.steps++;
    const { tiny, rate, keep } = scalarsAt(this.options, this.steps, learningRate);
    const scalar = (value: number): TensorData => ({ data: Float32Array.of(value), shape: [] });
    const scalars = {
      clip: scalar(clipFactor(norm, this.options.clipNorm)),
      tiny: scalar(tiny),
    };
    for (const stretch of this.parts) {
      const rates = {
        rate: scalar(rate(stretch.rate)),
        keep: scalar(stretch.decays ? keep(stretch.rate) : 1),
      };
      for (const [from, to] of chunks(stretch.from, stretch.to)) {
        const part = (arena: Float32Array): TensorData => ({ data: arena.subarray(from, to), shape: [to - from] });
        const [values, first, second] = [part(parameters), part(this.first), part(this.second)];
        await this.update.run(
          { parameters: values, first, second, gradient: part(gradients), ...rates, ...scalars },
          { newParameters: values, newFirst: first, newSecond: second },
        );
      }
    }
    return norm;
  }

  async dispose(): Promise<void> {
    await this.update.dispose();
    await this.squares.dispose();
  }
}
