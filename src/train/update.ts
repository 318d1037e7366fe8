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
  readonly secondCorrection: Tensor;
}

/** Parameters and moments after an update by `gradient`, all of one shape. */
export function update(
  { parameters, first, second }: Updated,
  gradient: Tensor,
  { clip, keep, rate, secondCorrection }: UpdateScalars,
  { beta1, beta2, epsilon }: AdamWOptions,
): Updated {
  const clipped = mul(gradient, clip);
  const newFirst = add(mul(first, beta1), mul(clipped, 1 - beta1));
  const newSecond = add(mul(second, beta2), mul(mul(clipped, clipped), 1 - beta2));
  const step = div(newFirst, add(mul(sqrt(newSecond), secondCorrection), epsilon));
  return { parameters: sub(mul(parameters, keep), mul(step, rate)), first: newFirst, second: newSecond };
}

/** The scalars of update `count`, from 1. `share` is a parameter's of the learning rate. */
export const scalarsAt = ({ beta1, beta2, weightDecay }: AdamWOptions, count: number, learningRate: number) => ({
  secondCorrection: 1 / Math.sqrt(1 - beta2 ** count),
  rate: (share: number): number => (learningRate * share) / (1 - beta1 ** count),
  keep: (share: number): number => 1 - learningRate * share * weightDecay,
});

/** PyTorch's, against a norm of 0. */
const tiny = 1e-6;

/** What gradients of this norm are multiplied by. */
export const clipFactor = (norm: number, clipNorm: number | null): number =>
  clipNorm === null ? 1 : Math.min(1, clipNorm / (norm + tiny));

/** The same in a graph, which has no minimum: c / max(c, n) with max(c, n) = c + relu(n − c). */
export const clipFactorOf = (norm: Tensor, clipNorm: number | null): Tensor | number =>
  clipNorm === null ? 1 : div(clipNorm, add(relu(sub(add(norm, tiny), clipNorm)), clipNorm));

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
