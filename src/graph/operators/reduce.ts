/** @file Reductions along axes, and their inverse, repetition. */
import { axisOf, type Shape, sameShape } from "../shape.js";
import { apply, type Operator, type Tensor } from "../tensor.js";
import { expand, reshape } from "./layout.js";

interface Reduction {
  readonly axes: readonly number[];
}

/** Reduced axes stay, with size 1. */
const reducedShape = ([x]: readonly Tensor[], { axes }: Reduction): Shape =>
  x!.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));

export const sumOperator: Operator<Reduction> = {
  name: "sum",
  shape: reducedShape,
  gradient: (result, dy) => [expand(dy, result.inputs[0]!.shape)],
  onnx: ({ inputs, attributes: { axes } }, emit) =>
    emit.node("ReduceSum", [emit.value(inputs[0]!), emit.int64(axes)], { keepdims: 1 }),
};

export const maxOperator: Operator<Reduction> = {
  name: "max",
  shape: reducedShape,
  // Used only to shift exponents, where its gradient cancels.
  gradient: () => [null],
  onnx: ({ inputs, attributes: { axes } }, emit) =>
    emit.node("ReduceMax", [emit.value(inputs[0]!), emit.int64(axes)], { keepdims: 1 }),
};

const positive = (x: Tensor, axes: readonly number[]) =>
  axes.map((a) => axisOf(a, x.shape.length)).sort((a, b) => a - b);

/** Sum along `axes`, which stay with size 1. */
export const sum = (x: Tensor, axes: readonly number[]): Tensor =>
  axes.length === 0 ? x : apply(sumOperator, [x], { axes: positive(x, axes) });

/** Largest value along `axes`, which stay with size 1; carries no gradient. */
export const max = (x: Tensor, axes: readonly number[]): Tensor => apply(maxOperator, [x], { axes: positive(x, axes) });

/** Sums away what broadcasting repeated: the gradient of a broadcast to `x`'s shape from `shape`. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.shape.length - shape.length;
  const axes = x.shape.flatMap((dim, axis) => (axis < lead || (shape[axis - lead] === 1 && dim !== 1) ? [axis] : []));
  return reshape(sum(x, axes), shape);
}
