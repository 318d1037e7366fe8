/** @file A tensor whose gradient is given by hand, where the one that follows from its parts would be slower. */
import { apply, type Operator, type Tensor } from "../tensor.js";

/** Takes y and x as arguments, since a graph may have been rewritten when the gradient is taken. */
export type GradientRule = (upstream: Tensor, y: Tensor, x: Tensor) => Tensor;

export const withGradientOperator: Operator<{ readonly rule: GradientRule }> = {
  name: "withGradient",
  shape: ([y]) => y!.shape,
  gradient: ({ inputs: [y, x], attributes: { rule } }, dy) => [null, rule(dy, y!, x!)],
  onnx: ({ inputs: [y] }, emit) => [emit.value(y!)],
};

/** `y`, a function of `x`, whose gradient with respect to `x` is `rule(upstream, y, x)`. */
export const withGradient = (y: Tensor, x: Tensor, rule: GradientRule): Tensor =>
  apply(withGradientOperator, [y, x], { rule });
