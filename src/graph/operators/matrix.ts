/** @file The matrix product: the operator that all the time goes to. */
import { broadcastShapes, formatShape, type Shape } from "../shape.js";
import { apply, type Operator, type Tensor } from "../tensor.js";
import { sumTo } from "./reduce.js";

export interface MatmulAttributes {
  /** Use the transpose of the last two axes of a (or b). */
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** Factor on the product (not on the added term). */
  readonly scale: number;
}

const matrixOf = (shape: Shape, transposed: boolean) => {
  const [rows, columns] = shape.slice(-2) as [Shape[number], Shape[number]];
  return transposed ? ([columns, rows] as const) : ([rows, columns] as const);
};

/**
 * scale · op(a) · op(b) + c. Two-dimensional products become one `Gemm`, which takes all of that in; batched ones
 * become `FusedMatMul` in the fast form and `Transpose`, `MatMul`, `Mul` in the portable one.
 */
export const matmulOperator: Operator<MatmulAttributes> = {
  name: "matmul",
  shape: ([a, b, c], { transposeA, transposeB }) => {
    const [rows, inner] = matrixOf(a!.shape, transposeA);
    const [innerB, columns] = matrixOf(b!.shape, transposeB);
    if (inner !== innerB) {
      throw new Error(
        `matmul of ${formatShape(a!.shape)}${transposeA ? "ᵀ" : ""} and ${formatShape(b!.shape)}${transposeB ? "ᵀ" : ""}`,
      );
    }
    const shape = [...broadcastShapes([a!.shape.slice(0, -2), b!.shape.slice(0, -2)]), rows, columns];
    if (c && (shape.length !== 2 || broadcastShapes([shape, c.shape]).length !== 2)) {
      throw new Error(
        `only a product of two matrices takes an added term: ${formatShape(shape)} + ${formatShape(c.shape)}`,
      );
    }
    return shape;
  },
  gradient: ({ inputs: [a, b, c], attributes: { transposeA, transposeB, scale } }, dy) => {
    // y = op(a)·op(b): d op(a) = dy·op(b)ᵀ, d op(b) = op(a)ᵀ·dy; transposed operands get the transposed product.
    const da = transposeA ? product(b!, dy, transposeB, true, scale) : product(dy, b!, false, !transposeB, scale);
    const db = transposeB ? product(dy, a!, true, transposeA, scale) : product(a!, dy, !transposeA, false, scale);
    const gradients = [sumTo(da, a!.shape), sumTo(db, b!.shape)];
    return c ? [...gradients, sumTo(dy, c.shape)] : gradients;
  },
  onnx: ({ inputs, shape, attributes: { transposeA, transposeB, scale } }, emit) => {
    const values = inputs.map(emit.value);
    const flags = { transA: transposeA ? 1 : 0, transB: transposeB ? 1 : 0 };
    const alpha = { type: "float", value: scale } as const;
    if (shape.length === 2) return emit.node("Gemm", values, { ...flags, alpha });
    if (!transposeA && !transposeB && scale === 1) return emit.node("MatMul", values);
    if (emit.form === "fast") return emit.node("FusedMatMul", values, { ...flags, alpha }, { domain: "com.microsoft" });
    const swapped = (value: string, rank: number) =>
      emit.node("Transpose", [value], { perm: [...Array(rank - 2).keys(), rank - 1, rank - 2] })[0]!;
    const a = transposeA ? swapped(values[0]!, inputs[0]!.shape.length) : values[0]!;
    const b = transposeB ? swapped(values[1]!, inputs[1]!.shape.length) : values[1]!;
    const result = emit.node("MatMul", [a, b]);
    return scale === 1 ? result : emit.node("Mul", [result[0]!, emit.constant(Float32Array.of(scale), [], "float32")]);
  },
};

const product = (a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean, scale: number): Tensor =>
  apply(matmulOperator, [a, b], { transposeA, transposeB, scale });

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly scale?: number;
  /** Added to a two-dimensional product, broadcast to `[rows, columns]`. */
  readonly plus?: Tensor;
}

/** `[…, n, k] · […, k, m] → […, n, m]`, leading axes broadcast. */
export const matmul = (a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor =>
  apply(matmulOperator, options.plus ? [a, b, options.plus] : [a, b], {
    transposeA: options.transposeA ?? false,
    transposeB: options.transposeB ?? false,
    scale: options.scale ?? 1,
  });
