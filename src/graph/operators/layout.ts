/** @file Operators that move values and change none: reshape, transpose, expand, concat, slice, pad. */
import { axisOf, broadcastShapes, dimProduct, formatShape, type Shape, sameShape } from "../shape.js";
import { apply, type Operator, type Tensor } from "../tensor.js";
import { sumTo } from "./reduce.js";

export const reshapeOperator: Operator<{ readonly shape: Shape }> = {
  name: "reshape",
  shape: ([x], { shape }) => {
    if (dimProduct(x!.shape) !== dimProduct(shape)) {
      throw new Error(`reshape of ${formatShape(x!.shape)} to ${formatShape(shape)} changes the number of elements`);
    }
    return shape;
  },
  gradient: (result, dy) => [reshape(dy, result.inputs[0]!.shape)],
  onnx: ({ inputs, shape }, emit) => emit.node("Reshape", [emit.value(inputs[0]!), emit.reshapeTarget(shape)]),
};

/** The same values in row-major order under another shape. */
export const reshape = (x: Tensor, shape: Shape): Tensor =>
  sameShape(x.shape, shape) ? x : apply(reshapeOperator, [x], { shape });

export const transposeOperator: Operator<{ readonly permutation: readonly number[] }> = {
  name: "transpose",
  shape: ([x], { permutation }) => {
    if (new Set(permutation).size !== x!.shape.length || permutation.length !== x!.shape.length) {
      throw new Error(`[${permutation}] is no permutation of the axes of ${formatShape(x!.shape)}`);
    }
    return permutation.map((axis) => x!.shape[axis]!);
  },
  gradient: ({ attributes: { permutation } }, dy) => [transpose(dy, inverse(permutation))],
  onnx: ({ inputs, attributes: { permutation } }, emit) =>
    emit.node("Transpose", [emit.value(inputs[0]!)], { perm: permutation }),
};

const inverse = (permutation: readonly number[]): number[] => permutation.map((_, axis) => permutation.indexOf(axis));

/** Axis i of the result is axis `permutation[i]` of `x`. */
export const transpose = (x: Tensor, permutation: readonly number[]): Tensor =>
  apply(transposeOperator, [x], { permutation });

export const expandOperator: Operator<{ readonly shape: Shape }> = {
  name: "expand",
  shape: ([x], { shape }) => {
    if (!sameShape(broadcastShapes([x!.shape, shape]), shape)) {
      throw new Error(`${formatShape(x!.shape)} does not expand to ${formatShape(shape)}`);
    }
    return shape;
  },
  gradient: (result, dy) => [sumTo(dy, result.inputs[0]!.shape)],
  onnx: ({ inputs, shape }, emit) => emit.node("Expand", [emit.value(inputs[0]!), emit.shape(shape)]),
};

/** Repeats along axes of size 1 (and new leading ones) up to `shape`. */
export const expand = (x: Tensor, shape: Shape): Tensor =>
  sameShape(x.shape, shape) ? x : apply(expandOperator, [x], { shape });

export const concatOperator: Operator<{ readonly axis: number }> = {
  name: "concat",
  shape: (inputs, { axis }) => {
    const first = inputs[0]!.shape;
    let total = 0;
    for (const { shape } of inputs) {
      const size = shape[axis];
      if (
        shape.length !== first.length ||
        shape.some((dim, i) => i !== axis && dim !== first[i]) ||
        typeof size !== "number"
      ) {
        throw new Error(`concat along axis ${axis} of ${inputs.map((t) => formatShape(t.shape)).join(" and ")}`);
      }
      total += size;
    }
    return first.map((dim, i) => (i === axis ? total : dim));
  },
  gradient: ({ inputs, attributes: { axis } }, dy) => {
    let start = 0;
    return inputs.map((x) => {
      const from = start;
      start += x.shape[axis] as number;
      return slice(dy, axis, from, start);
    });
  },
  onnx: ({ inputs, attributes: { axis } }, emit) => emit.node("Concat", inputs.map(emit.value), { axis }),
};

/** Joins along an axis whose sizes are known. */
export const concat = (inputs: readonly Tensor[], axis: number): Tensor =>
  inputs.length === 1 ? inputs[0]! : apply(concatOperator, inputs, { axis: axisOf(axis, inputs[0]!.shape.length) });

export const sliceOperator: Operator<{ readonly axis: number; readonly start: number; readonly end: number }> = {
  name: "slice",
  shape: ([x], { axis, start, end }) => {
    const size = x!.shape[axis];
    if (!(start >= 0 && start < end && (typeof size !== "number" || end <= size))) {
      throw new Error(`slice ${start}:${end} of axis ${axis} of ${formatShape(x!.shape)}`);
    }
    return x!.shape.map((dim, i) => (i === axis ? end - start : dim));
  },
  gradient: ({ inputs, attributes: { axis, start, end } }, dy) => [
    pad(dy, axis, start, (inputs[0]!.shape[axis] as number) - end),
  ],
  onnx: ({ inputs, attributes: { axis, start, end } }, emit) =>
    emit.node("Slice", [emit.value(inputs[0]!), emit.int64([start]), emit.int64([end]), emit.int64([axis])]),
};

/** Elements `start` to `end − 1` along `axis`. */
export function slice(x: Tensor, axis: number, start: number, end: number): Tensor {
  const positive = axisOf(axis, x.shape.length);
  return start === 0 && end === x.shape[positive] ? x : apply(sliceOperator, [x], { axis: positive, start, end });
}

export const padOperator: Operator<{ readonly axis: number; readonly before: number; readonly after: number }> = {
  name: "pad",
  shape: ([x], { axis, before, after }) => {
    const size = x!.shape[axis];
    if (typeof size !== "number" || !(before >= 0 && after >= 0)) {
      throw new Error(`pad by ${before} and ${after} of axis ${axis} of ${formatShape(x!.shape)}`);
    }
    return x!.shape.map((dim, i) => (i === axis ? before + size + after : dim));
  },
  gradient: ({ inputs, attributes: { axis, before } }, dy) => [
    slice(dy, axis, before, before + (inputs[0]!.shape[axis] as number)),
  ],
  onnx: ({ inputs, attributes: { axis, before, after } }, emit) => {
    const rank = inputs[0]!.shape.length;
    const pads = new Array<number>(2 * rank).fill(0);
    pads[axis] = before;
    pads[rank + axis] = after;
    return emit.node("Pad", [emit.value(inputs[0]!), emit.int64(pads)]);
  },
};

/** Zeros before and after along an axis of known size. */
export const pad = (x: Tensor, axis: number, before: number, after: number): Tensor =>
  before === 0 && after === 0 ? x : apply(padOperator, [x], { axis: axisOf(axis, x.shape.length), before, after });
