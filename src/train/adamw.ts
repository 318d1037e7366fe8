/**
 * @file AdamW (Loshchilov & Hutter 2019, algorithm 2) over arenas, in chunks that fit the cache, through one small program.
 * Follows PyTorch's `AdamW` and `clip_grad_norm_`.
 */
import { add, div, input, mul, sqrt, sub, sum } from "../graph/index.js";
import type { Program, Runtime, TensorData } from "../runtime/index.js";
import { chunks, type Layout, type Stretch, stretches } from "./arena.js";

export interface AdamWOptions {
  readonly beta1: number;
  /** 0.98 rather than 0.999: the second moment must forget within ~50 steps, or early spikes stall a ViT. */
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled, times the learning rate; not on gains and biases. */
  readonly weightDecay: number;
  /** Gradients longer than this (Euclidean norm over all parameters) are scaled down to it. */
  readonly clipNorm: number | null;
}

const updateGraph = ({ beta1, beta2, epsilon }: AdamWOptions) => {
  const array = (name: string) => input(name, ["N"]);
  const scalar = (name: string) => input(name, []);
  const gradient = mul(array("gradient"), scalar("clip"));
  const newFirst = add(mul(array("first"), beta1), mul(gradient, 1 - beta1));
  const newSecond = add(mul(array("second"), beta2), mul(mul(gradient, gradient), 1 - beta2));
  const step = div(newFirst, add(mul(sqrt(newSecond), scalar("secondCorrection")), epsilon));
  const newParameters = sub(mul(array("parameters"), scalar("keep")), mul(step, scalar("rate")));
  return { newParameters, newFirst, newSecond };
};

/** The optimiser's state and programs, held open until `dispose`. */
export class AdamW {
  /** Both moments, arenas like the parameters'. */
  readonly first: Float32Array;
  readonly second: Float32Array;
  /** Updates done. */
  steps = 0;

  private constructor(
    learned: number,
    private readonly parts: readonly Stretch[],
    private readonly options: AdamWOptions,
    private readonly update: Program,
    private readonly squares: Program,
  ) {
    this.first = new Float32Array(learned);
    this.second = new Float32Array(learned);
  }

  /** @param rateOf each parameter's share of the learning rate */
  static async create(
    layout: Layout,
    options: AdamWOptions,
    runtime: Runtime,
    rateOf: (name: string) => number = () => 1,
  ): Promise<AdamW> {
    const gradient = input("gradient", ["N"]);
    const squares = await runtime.compile({ squares: sum(mul(gradient, gradient), [0]) });
    const update = await runtime.compile(updateGraph(options));
    return new AdamW(layout.learned, stretches(layout, rateOf), options, update, squares);
  }

  /** Euclidean norm of all gradients. */
  async norm(gradients: Float32Array): Promise<number> {
    let total = 0;
    for (const [from, to] of chunks(0, gradients.length)) {
      const data = gradients.subarray(from, to);
      const { squares } = await this.squares.run({ gradient: { data, shape: [data.length] } });
      total += Number(squares!.data[0]);
    }
    return Math.sqrt(total);
  }

  /** Updates the parameters in place; returns the gradients' norm before clipping. */
  async step(parameters: Float32Array, gradients: Float32Array, learningRate: number): Promise<number> {
    const { beta1, beta2, weightDecay, clipNorm } = this.options;
    const norm = await this.norm(gradients);
    this.steps++;
    const scalar = (value: number): TensorData => ({ data: Float32Array.of(value), shape: [] });
    const scalars = {
      clip: scalar(clipNorm === null ? 1 : Math.min(1, clipNorm / (norm + 1e-6))),
      secondCorrection: scalar(1 / Math.sqrt(1 - beta2 ** this.steps)),
    };
    for (const stretch of this.parts) {
      const rate = learningRate * stretch.rate;
      const rates = {
        rate: scalar(rate / (1 - beta1 ** this.steps)),
        keep: scalar(stretch.decays ? 1 - rate * weightDecay : 1),
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
