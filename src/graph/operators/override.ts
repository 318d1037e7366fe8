/** @file A tensor whose gradient is given by hand, where the one that follows from its parts would be slower. */
import { apply, type Operator, type Tensor } from "../tensor.js";

export const withGradientOperator: Operator<{ readonly rule: (upstream: Tensor) => Tensor }> = {
  name: "withGradient",
  shape: ([y]) => y!.shape,
  gradient: ({ attributes: { rule } }, dy) => [null, rule(dy)],
  onnx: ({ inputs: [y] }, emit) => [emit.value(y!)],
};

/** `y`, a function of `x`, whose gradient with respect to `x` is `rule(upstream)`. */
export const withGradient = (y: Tensor, x: Tensor, rule: (upstream: Tensor) => Tensor): Tensor =>
  apply(withGradientOperator, [y, x], { rule });
