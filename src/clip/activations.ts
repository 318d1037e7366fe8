/** @file The activations of MLPs, written so that their constants vanish into the matrix products around them. */
import { add, erf, mul, sigmoid, sub, type Tensor, tanh, withGradient } from "../graph/index.js";
import type { Activation } from "./config.js";

/** An activation as outer · f(inner · x): the factors cost nothing in the products before and after, f a pass each. */
export interface Factored {
  readonly inner: number;
  readonly f: (x: Tensor) => Tensor;
  readonly outer: number;
}

const SQRT_2_PI = Math.sqrt(2 / Math.PI);

export const activations: { readonly [K in Activation]: Factored } = {
  quick_gelu: { inner: 1.702, f: swish, outer: 1 / 1.702 },
  // ½·x·(1 + erf(x / √2))
  gelu: { inner: Math.SQRT1_2, f: (x) => mul(x, add(erf(x), 1)), outer: Math.SQRT1_2 },
  // ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
  gelu_tanh: {
    inner: 1,
    f: (x) => mul(x, add(tanh(mul(x, add(mul(mul(x, x), 0.044715 * SQRT_2_PI), SQRT_2_PI))), 1)),
    outer: 0.5,
  },
};

/** x·σ(x); its derivative σ(x)·(1 + x − x·σ(x)) reuses both results of the forward pass. */
function swish(x: Tensor): Tensor {
  return withGradient(mul(x, sigmoid(x)), x, swishGradient);
}

const swishGradient = (dy: Tensor, y: Tensor, x: Tensor): Tensor => mul(mul(dy, sigmoid(x)), add(sub(x, y), 1));
