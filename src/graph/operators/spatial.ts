/**
 * @file Operators on pictures `[N, C, H, W]`: convolution, its transpose, average pooling.
 * Sides are known; only N may be a symbol.
 */
import { type Dim, dimProduct, formatShape } from "../shape.js";
import { apply, type Operator, type Tensor } from "../tensor.js";
import { concat, pad, reshape, slice, transpose } from "./layout.js";
import { constant } from "./leaves.js";
import { matmul } from "./matrix.js";
import { sum } from "./reduce.js";

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
    return [pictureGradient(dy, weight, x, stride, padding), kernelGradient(x, dy, weight, stride, padding)];
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

/**
 * The gradient of a convolution with respect to its input `x`: without a stride a convolution too, with the kernel turned
 * by 180°, channels in each other's place. ONNX Runtime is twice as fast at that as at `ConvTranspose`.
 */
function pictureGradient(dy: Tensor, weight: Tensor, x: Tensor, stride: number, padding: number): Tensor {
  const [height, width] = [side(weight.shape[2]), side(weight.shape[3])];
  if (stride === 1 && height === width && padding < height) {
    const turned = transpose(reversed(reversed(weight, 2), 3), [1, 0, 2, 3]);
    return convolution(dy, turned, { padding: height - 1 - padding });
  }
  const sides = [side(x.shape[2]), side(x.shape[3])] as const;
  return apply(convolutionTransposeOperator, [dy, weight], { stride, padding, sides });
}

const reversed = (t: Tensor, axis: number): Tensor =>
  concat(
    places(side(t.shape[axis]))
      .map((i) => slice(t, axis, i, i + 1))
      .reverse(),
    axis,
  );

const places = (count: number): readonly number[] => [...Array(count).keys()];

/** The gradient of a convolution with respect to its kernel. */
function kernelGradient(x: Tensor, dy: Tensor, weight: Tensor, stride: number, padding: number): Tensor {
  const [height, width] = [side(weight.shape[2]), side(weight.shape[3])];
  if (stride > 1) {
    // A convolution of x with dy, channels and samples in each other's place.
    const swap = (t: Tensor) => transpose(t, [1, 0, 2, 3]);
    const full = convolution(swap(x), swap(dy), { padding, dilation: stride }); // [C, O, ≥ height, ≥ width]
    return swap(slice(slice(full, 2, 0, height), 3, 0, width));
  }
  // Element (u, v) is a product of dy with the pixels that it met: an order of magnitude faster for 1×1, twice for 3×3.
  const padded = pad(pad(x, 2, padding, padding), 3, padding, padding);
  // Columns first: the rows of what is left lie together.
  const columns = (v: number) => slice(padded, 3, v, v + side(dy.shape[3]));
  const met = (u: number, v: number) => slice(columns(v), 2, u, u + side(dy.shape[2]));
  const elements = places(height).flatMap((u) => places(width).map((v) => channelProduct(dy, met(u, v))));
  return reshape(
    concat(
      elements.map((element) => reshape(element, [...element.shape, 1])),
      2,
    ),
    weight.shape,
  );
}

/** Σ_{n, i, j} a[n, o, i, j] · b[n, c, i, j], `[O, C]`. */
function channelProduct(a: Tensor, b: Tensor): Tensor {
  const [n, o, h, w] = a.shape as readonly [Dim, number, number, number];
  const c = b.shape[1] as number;
  // Picture by picture, unless their products would be larger than they are.
  if (h * w * (o + c) >= o * c) {
    const rows = (t: Tensor, channels: number) => reshape(t, [n, channels, h * w]);
    return reshape(sum(matmul(rows(a, o), rows(b, c), { transposeB: true }), [0]), [o, c]);
  }
  const rows = (t: Tensor, channels: number) => reshape(transpose(t, [1, 0, 2, 3]), [channels, dimProduct([n, h * w])]);
  return matmul(rows(a, o), rows(b, c), { transposeB: true });
}

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
    // A row of dy times this matrix is that row, each place repeated and scaled, as often as the square has rows.
    const row = places(w * size).map((column) => Math.floor(column / size));
    const spread = places(w).flatMap((i) => places(size).flatMap(() => row.map((j) => (i === j ? size ** -2 : 0))));
    const matrix = constant(spread, [w, size * w * size], dy.dtype === "float64" ? "float64" : "float32");
    return [reshape(matmul(reshape(dy, [dimProduct([n, c, h]), w]), matrix), x.shape)];
  },
  onnx: ({ inputs, attributes: { size } }, emit) =>
    emit.node("AveragePool", inputs.map(emit.value), { kernel_shape: [size, size], strides: [size, size] }),
};

export const averagePool = (x: Tensor, size: number): Tensor =>
  size === 1 ? x : apply(averagePoolOperator, [x], { size });
