/** @file Where a graph begins: what is fed when it runs, constants, and counting along a dimension. */
import { type Dim, dimProduct, type Shape } from "../shape.js";
import { apply, type DType, type Operator, type Tensor, type Values } from "../tensor.js";

const noGradient = (): never => {
  throw new Error("a leaf has no inputs to give gradients to");
};

export const inputOperator: Operator<{ readonly name: string; readonly shape: Shape; readonly dtype: DType }> = {
  name: "input",
  shape: (_, { shape }) => shape,
  dtype: (_, { dtype }) => dtype,
  gradient: noGradient,
  onnx: (result, emit) => [emit.input(result.attributes.name, result)],
};

/** What is fed under `name` when the program runs: data, or a parameter. */
export const input = (name: string, shape: Shape, dtype: DType = "float32"): Tensor =>
  apply(inputOperator, [], { name, shape, dtype });

export const constantOperator: Operator<{
  readonly values: Values;
  readonly shape: readonly number[];
  readonly dtype: DType;
}> = {
  name: "constant",
  shape: (_, { shape }) => shape,
  dtype: (_, { dtype }) => dtype,
  gradient: noGradient,
  onnx: ({ attributes: { values, shape, dtype } }, emit) => [emit.constant(values, shape, dtype)],
};

const arrays = { float32: Float32Array, float64: Float64Array, int32: Int32Array } as const;

/** A float or int32 constant; a scalar for one number without a shape. */
export function constant(
  values: number | readonly number[] | Float32Array,
  shape: readonly number[] = typeof values === "number" ? [] : [values.length],
  dtype: keyof typeof arrays = "float32",
): Tensor {
  const list = typeof values === "number" ? [values] : values;
  if (dimProduct(shape) !== list.length) throw new Error(`${list.length} values do not fill shape [${shape}]`);
  return apply(constantOperator, [], { values: arrays[dtype].from(list), shape, dtype });
}

/** The scalar `value` in the dtype of `like`, so that float64 graphs stay float64. */
export const scalarLike = (value: number, like: Tensor): Tensor =>
  constant(value, [], like.dtype === "float64" ? "float64" : "float32");

export const rangeOperator: Operator<{ readonly length: Dim }> = {
  name: "range",
  shape: (_, { length }) => [length],
  dtype: () => "int64",
  gradient: noGradient,
  onnx: ({ attributes: { length } }, emit) => {
    const scalar = (value: bigint) => emit.constant(BigInt64Array.of(value), [], "int64");
    const [limit] = emit.node("Squeeze", [emit.shape([length])]);
    return emit.node("Range", [scalar(0n), limit!, scalar(1n)]);
  },
};

/** 0, 1, …, length − 1 as int64 `[length]`. */
export const range = (length: Dim): Tensor => apply(rangeOperator, [], { length });
