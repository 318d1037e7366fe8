/**
 * @file Products of 8-bit integers, and the way into them: a step for each row or column, and rounding to it.
 * They carry no gradient, rounding being flat: `quantise.ts` brings them in after gradients are taken.
 */
import { type Dim, formatShape, type Shape, sameShape } from "../shape.js";
import { apply, type Operator, type Tensor } from "../tensor.js";

/** Numbers are rounded to integers of these types; an unsigned one stands for itself less 128. */
export type Quantised = "uint8" | "int8";
const zeroPoints = { uint8: Uint8Array.of(128), int8: Int8Array.of(0) } as const;

/** A step must not be zero. */
const SMALLEST = 1e-30;

/** The step that makes the largest magnitude along `axes` the integer `largest`: max |x| / largest, with size 1 there. */
export const stepOperator: Operator<{ readonly axes: readonly (0 | 1)[]; readonly largest: number }> = {
  name: "step",
  shape: ([x], { axes }) => {
    if (x!.shape.length !== 2) throw new Error(`step of ${formatShape(x!.shape)}, which is no matrix`);
    return x!.shape.map((dim, i) => (axes.some((axis) => axis === i) ? 1 : dim));
  },
  gradient: () => [null],
  onnx: ({ inputs, attributes: { axes, largest } }, emit) => {
    const reduced = (type: string) => emit.node(type, [emit.value(inputs[0]!), emit.int64(axes)], { keepdims: 1 })[0]!;
    const scalar = (value: number) => emit.constant(Float32Array.of(value), [], "float32");
    // two reductions are faster than |x| and one
    const [below] = emit.node("Neg", [reduced("ReduceMin")]);
    const [magnitude] = emit.node("Max", [reduced("ReduceMax"), below!, scalar(SMALLEST)]);
    return emit.node("Mul", [magnitude!, scalar(1 / largest)]);
  },
};

export const step = (x: Tensor, axes: readonly (0 | 1)[], largest: number): Tensor =>
  apply(stepOperator, [x], { axes, largest });

/** round(x / step), half to even, within the type's range: x `[R, C]`, step `[R, 1]`, `[1, C]` or `[1, 1]`. */
export const roundOperator: Operator<{ readonly to: Quantised }> = {
  name: "round",
  shape: ([x, step]) => {
    const [rows, columns] = step!.shape as Shape;
    const fits = (dim: Dim, i: number) => dim === 1 || dim === x!.shape[i];
    if (x!.shape.length !== 2 || step!.shape.length !== 2 || !step!.shape.every(fits) || (rows !== 1 && columns !== 1))
      throw new Error(`round of ${formatShape(x!.shape)} to steps ${formatShape(step!.shape)}`);
    return x!.shape;
  },
  dtype: (_, { to }) => to,
  gradient: () => [null, null],
  onnx: ({ inputs: [x, step], attributes: { to } }, emit) => {
    const value = emit.value(x!);
    const zero = emit.constant(zeroPoints[to], [], to);
    const [rows, columns] = step!.shape;
    if (columns !== 1) {
      // Not along axis 1: ONNX Runtime goes through columns an element at a time.
      const [quotient] = emit.node("Div", [value, emit.value(step!)]);
      return emit.node("QuantizeLinear", [quotient!, emit.constant(Float32Array.of(1), [], "float32"), zero]);
    }
    if (rows === 1) return emit.node("QuantizeLinear", [value, emit.node("Squeeze", [emit.value(step!)])[0]!, zero]);
    const length = emit.shape([rows!]);
    const [steps] = emit.node("Reshape", [emit.value(step!), length]);
    return emit.node("QuantizeLinear", [value, steps!, emit.node("Expand", [zero, length])[0]!], { axis: 0 });
  },
};

export const round = (x: Tensor, step: Tensor, to: Quantised): Tensor => apply(roundOperator, [x, step], { to });

/**
 * Integers times integers, summed exactly in 32 bits, times the step of each column, plus a bias: a uint8 `[R, K]`,
 * b int8 `[K, C]`, steps `[1, C]`, bias `[C]` → float32 `[R, C]`. ONNX Runtime has a fast kernel for this combination of
 * types alone.
 */
export const integerMatmulOperator: Operator<Readonly<Record<string, never>>> = {
  name: "integerMatmul",
  shape: ([a, b, steps, bias]) => {
    const [rows, inner] = a!.shape as Shape;
    const [innerB, columns] = b!.shape as Shape;
    const fits = inner === innerB && sameShape(steps!.shape, [1, columns!]);
    if (!fits || (bias && !sameShape(bias.shape, [columns!])) || a!.dtype !== "uint8" || b!.dtype !== "int8") {
      const operands = [a!, b!].map(({ dtype, shape }) => `${dtype} ${formatShape(shape)}`).join(" and ");
      const added = bias ? ` and bias ${formatShape(bias.shape)}` : "";
      throw new Error(`integerMatmul of ${operands} with steps ${formatShape(steps!.shape)}${added}`);
    }
    return [rows!, columns!];
  },
  dtype: () => "float32",
  gradient: () => [null, null, null, null],
  onnx: ({ inputs, shape }, emit) => {
    const [a, b, steps, bias] = inputs.map(emit.value) as [string, string, string, string?];
    const zero = emit.constant(zeroPoints.uint8, [], "uint8");
    if (emit.form === "fast") {
      const [list] = emit.node("Reshape", [steps, emit.shape(shape.slice(1))]);
      const one = emit.constant(Float32Array.of(1), [], "float32");
      const operands = [a, b, one, list!, zero, ...(bias ? ["", bias] : [])];
      return emit.node("MatMulIntegerToFloat", operands, {}, { domain: "com.microsoft" });
    }
    const [sums] = emit.node("MatMulInteger", [a, b, zero]);
    const [product] = emit.node("Cast", [sums!], { to: { type: "dtype", value: "float32" } });
    const [scaled] = emit.node("Mul", [product!, steps]);
    return bias ? emit.node("Add", [scaled!, bias]) : [scaled!];
  },
};

export const integerMatmul = (a: Tensor, b: Tensor, steps: Tensor, bias?: Tensor): Tensor =>
  apply(integerMatmulOperator, bias ? [a, b, steps, bias] : [a, b, steps], {});
