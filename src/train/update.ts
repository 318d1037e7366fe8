/**
 * @file AdamW's update (Loshchilov & Hutter 2019, algorithm 2) and clipping, as PyTorch's `AdamW` and `clip_grad_norm_` have
 * them: the formula for whatever holds the numbers, a chunk of an arena or a parameter on a device, and the scalars that change
 * from step to step.
 */
import { add, div, mul, relu, reshape, sqrt, sub, sum, type Tensor } from "../graph/index.js";

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

/** Of one shape. */
export interface Updated {
  readonly parameters: Tensor;
  readonly first: Tensor;
  readonly second: Tensor;
}

/** Scalars, `[]`. */
export interface UpdateScalars {
  /** What the gradient is multiplied by, so that it is no longer than `clipNorm`. */
  readonly clip: Tensor | number;
  /** `keep` and `rate` of `scalarsAt`, for the share of these parameters. */
  readonly keep: Tensor | number;
  readonly rate: Tensor;
  readonly tiny: Tensor;
}

/** Parameters and moments after an update by `gradient`, all of one shape. */
export function update(
  { parameters, first, second }: Updated,
  gradient: Tensor,
  { clip, keep, rate, tiny }: UpdateScalars,
  { beta1, beta2 }: AdamWOptions,
): Updated {
  const clipped = (share: number) => mul(gradient, typeof clip === "number" ? clip * share : mul(clip, share));
  const newFirst = add(mul(first, beta1), clipped(1 - beta1));
  const scaled = clipped(Math.sqrt(1 - beta2));
  const newSecond = add(mul(second, beta2), mul(scaled, scaled));
  const step = div(newFirst, add(sqrt(newSecond), tiny));
  return { parameters: sub(mul(parameters, keep), mul(step, rate)), first: newFirst, second: newSecond };
}

/**
 * The scalars of update `count`, from 1; `share` is a parameter's of the learning rate. The moments' corrections are in the
 * rate and in the epsilon, `tiny` (Kingma & Ba 2015, end of section 2), which is two passes over the parameters less.
 */
export function scalarsAt({ beta1, beta2, epsilon, weightDecay }: AdamWOptions, count: number, learningRate: number) {
  const correction = Math.sqrt(1 - beta2 ** count);
  return {
    tiny: epsilon * correction,
    rate: (share: number): number => (learningRate * share * correction) / (1 - beta1 ** count),
    keep: (share: number): number => 1 - learningRate * share * weightDecay,
  };
}

/** PyTorch's, against a norm of 0. */
const noNorm = 1e-6;

/** What gradients of this norm are multiplied by. */
export const clipFactor = (norm: number, clipNorm: number | null): number =>
  clipNorm === null ? 1 : Math.min(1, clipNorm / (norm + noNorm));

/** The same in a graph, which has no minimum: c / max(c, n) with max(c, n) = c + relu(n − c). */
export const clipFactorOf = (norm: Tensor, clipNorm: number | null): Tensor | number =>
  clipNorm === null ? 1 : div(clipNorm, add(relu(sub(add(norm, noNorm), clipNorm)), clipNorm));

/** Euclidean norm of all of them together, `[]`. Axis by axis: float32 would lose count of millions in one sum. */
export function normOf(gradients: readonly Tensor[]): Tensor {
  const squares = gradients.map((gradient) => {
    const axes = gradient.shape.map((_, axis) => axis).reverse();
    return reshape(
      axes.reduce((total, axis) => sum(total, [axis]), mul(gradient, gradient)),
      [],
    );
  });
  return sqrt(squares.reduce((a, b) => add(a, b)));
}
