/**
 * @file Operators on pictures `[N, C, H, W]`: convolution, its transpose, average pooling.
 * Sides are known; only N may be a symbol.
 */
import { type Dim, formatShape } from "../shape.js";
import { apply, type Operator, type Tensor } from "../tensor.js";
import { mul } from "./elementwise.js";
import { expand, reshape, slice, transpose } from "./layout.js";

export interface ConvolutionAttributes {
  readonly stride: number;
  readonly padding: number;
  /** Distance between the kernel's elements. */
  readonly dilation: number;
}

const side = (dim: Dim | undefined): number => {
  if (typeof dim !== "number") throw new Error(`the sides of a picture must be known, not ${dim}`);
  return dim;
};

const windows = ({ stride, padding, dilation }: ConvolutionAttributes) => ({
  strides: [stride, stride],
  pads: [padding, padding, padding, padding],
  dilations: [dilation, dilation],
});

/** y[n, o, i, j] = Σ_{c, u, v} x[n, c, s·i + d·u − p, s·j + d·v − p] · w[o, c, u, v] */
export const convolutionOperator: Operator<ConvolutionAttributes> = {
  name: "convolution",
  shape: ([x, weight], { stride, padding, dilation }) => {
    if (x!.shape.length !== 4 || weight!.shape.length !== 4 || x!.shape[1] !== weight!.shape[1]) {
      throw new Error(`convolution of ${formatShape(x!.shape)} with a kernel ${formatShape(weight!.shape)}`);
    }
    const out = (axis: number) =>
      Math.floor((side(x!.shape[axis]) + 2 * padding - dilation * (side(weight!.shape[axis]) - 1) - 1) / stride) + 1;
    return [x!.shape[0]!, weight!.shape[0]!, out(2), out(3)];
  },
  gradient: ({ inputs, attributes: { stride, padding, dilation } }, dy) => {
    if (dilation !== 1) throw new Error("the gradient of a dilated convolution is not implemented");
    const [x, weight] = inputs as [Tensor, Tensor];
    // The weight's gradient is a convolution too: of x with dy, channels and samples in each other's place.
    const swap = (t: Tensor) => transpose(t, [1, 0, 2, 3]);
    const full = convolution(swap(x), swap(dy), { padding, dilation: stride }); // [C, O, ≥ kernel, ≥ kernel]
    const kernel = slice(slice(full, 2, 0, side(weight.shape[2])), 3, 0, side(weight.shape[3]));
    return [convolutionTranspose(dy, weight, x, stride, padding), swap(kernel)];
  },
  onnx: ({ inputs, attributes }, emit) => emit.node("Conv", inputs.map(emit.value), windows(attributes)),
};

/** x `[N, C, H, W]`, weight `[O, C, k, k]` → `[N, O, H', W']`. */
export const convolution = (
  x: Tensor,
  weight: Tensor,
  { stride = 1, padding = 0, dilation = 1 }: Partial<ConvolutionAttributes> = {},
): Tensor => apply(convolutionOperator, [x, weight], { stride, padding, dilation });

export const convolutionTransposeOperator: Operator<{
  readonly stride: number;
  readonly padding: number;
  readonly sides: readonly [number, number];
}> = {
  name: "convolutionTranspose",
  shape: ([dy, weight], { sides }) => [dy!.shape[0]!, weight!.shape[1]!, ...sides],
  gradient: ({ inputs, attributes: { stride, padding } }, upstream) => {
    const [dy, weight] = inputs as [Tensor, Tensor];
    const y = convolution(upstream, weight, { stride, padding });
    const [, toWeight] = convolutionOperator.gradient(
      apply(convolutionOperator, [upstream, weight], { stride, padding, dilation: 1 }),
      dy,
    );
    return [y, toWeight!];
  },
  onnx: ({ inputs, attributes: { stride, padding, sides } }, emit) => {
    const [dy, weight] = inputs as [Tensor, Tensor];
    const missing = sides.map((size, i) => {
      const reached = (side(dy.shape[i + 2]) - 1) * stride - 2 * padding + side(weight.shape[i + 2]);
      return size - reached;
    });
    const attributes = { ...windows({ stride, padding, dilation: 1 }), output_padding: missing };
    return emit.node("ConvTranspose", inputs.map(emit.value), attributes);
  },
};

/** The gradient of a convolution with respect to its input `x`. */
const convolutionTranspose = (dy: Tensor, weight: Tensor, x: Tensor, stride: number, padding: number): Tensor =>
  apply(convolutionTransposeOperator, [dy, weight], { stride, padding, sides: [side(x.shape[2]), side(x.shape[3])] });

/** Means of k×k squares that do not overlap; rows and columns that fill no square are left out. */
export const averagePoolOperator: Operator<{ readonly size: number }> = {
  name: "averagePool",
  shape: ([x], { size }) => [...x!.shape.slice(0, 2), ...[2, 3].map((axis) => Math.floor(side(x!.shape[axis]) / size))],
  gradient: ({ inputs, attributes: { size } }, dy) => {
    const [x] = inputs as [Tensor];
    const [n, c, h, w] = dy.shape as readonly [Dim, Dim, number, number];
    if (side(x.shape[2]) !== h * size || side(x.shape[3]) !== w * size) {
      throw new Error(`averagePool by ${size} of ${formatShape(x.shape)} has no gradient: it leaves pixels out`);
    }
    const repeated = expand(reshape(dy, [n, c, h, 1, w, 1]), [n, c, h, size, w, size]);
    return [mul(reshape(repeated, x.shape), 1 / (size * size))];
  },
  onnx: ({ inputs, attributes: { size } }, emit) =>
    emit.node("AveragePool", inputs.map(emit.value), { kernel_shape: [size, size], strides: [size, size] }),
};

export const averagePool = (x: Tensor, size: number): Tensor =>
  size === 1 ? x : apply(averagePoolOperator, [x], { size });
