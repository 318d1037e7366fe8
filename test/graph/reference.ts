/**
 * @file A graph's values in float64 by plain loops: slow, and simple enough to be believed. Tests compare the fast ways
 * with it. Every operator is one formula over positions; nothing is shared with the code under test but the nodes.
 */
import * as operators from "../../src/graph/operators/index.js";
import { type Dim, dimFactors } from "../../src/graph/shape.js";
import { type Operator, reachable, type Tensor } from "../../src/graph/tensor.js";

/** Row-major; integers are floats here too. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export type OperatorKey = Extract<keyof typeof operators, `${string}Operator`>;
type AttributesOf<K extends OperatorKey> = (typeof operators)[K] extends Operator<infer A> ? A : never;
type Kernel<A> = (x: readonly Values[], attributes: A, shape: readonly number[], of: readonly Tensor[]) => Values;
type Position = readonly number[];

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Values from a function of the position. */
function tabulate(shape: readonly number[], value: (at: Position) => number): Values {
  const data = new Float64Array(sizeOf(shape));
  const at = shape.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    data[i] = value(at);
    for (let axis = shape.length - 1; axis >= 0 && ++at[axis]! === shape[axis]; axis--) at[axis] = 0;
  }
  return { shape, data };
}

/** The value at a position, which may be that of a broadcast result: leading axes are dropped, sizes of 1 repeated. */
function valueAt(x: Values, at: Position): number {
  const dropped = at.length - x.shape.length;
  return x.data[x.shape.reduce((offset, size, i) => offset * size + (size === 1 ? 0 : at[dropped + i]!), 0)]!;
}

/** The same, and zero beyond the edges. */
const padded = (x: Values, at: Position): number =>
  at.every((i, axis) => i >= 0 && i < x.shape[axis]!) ? valueAt(x, at) : 0;

const count = (length: number): number[] => Array.from({ length }, (_, i) => i);
/** All pairs [u, v] with u < rows and v < columns. */
const pairs = (rows: number, columns: number) => count(rows).flatMap((u) => count(columns).map((v) => [u, v] as const));
const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const replaced = (at: Position, axis: number, by: number): number[] => at.map((i, a) => (a === axis ? by : i));

const unary =
  (f: (x: number) => number): Kernel<unknown> =>
  ([x], _, shape) =>
    tabulate(shape, (at) => f(valueAt(x!, at)));
const binary =
  (f: (a: number, b: number) => number): Kernel<unknown> =>
  ([a, b], _, shape) =>
    tabulate(shape, (at) => f(valueAt(a!, at), valueAt(b!, at)));

/** One result for each position along the axes that are kept, from all values along the others. */
const reduction =
  (f: (values: readonly number[]) => number): Kernel<{ readonly axes: readonly number[] }> =>
  ([x], { axes }, shape) =>
    tabulate(shape, (at) => {
      const along = axes.reduce<Position[]>(
        (positions, axis) => positions.flatMap((p) => count(x!.shape[axis]!).map((i) => replaced(p, axis, i))),
        [at],
      );
      return f(along.map((p) => valueAt(x!, p)));
    });

/** erf(x) = 2/√π · exp(−x²) · Σ 2ⁿ·x²ⁿ⁺¹ / (2n+1)!! (Abramowitz & Stegun 7.1.6): all terms have one sign. */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

/** The nearest integer, the even one of two. */
function toEven(x: number): number {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

/** Mean and reciprocal standard deviation of the row that a position lies in. */
function moments(x: Values, at: Position, epsilon: number): readonly [number, number] {
  const width = x.shape.at(-1)!;
  const row = count(width).map((i) => valueAt(x, [...at.slice(0, -1), i]));
  const mean = total(row) / width;
  return [mean, 1 / Math.sqrt(total(row.map((v) => (v - mean) ** 2)) / width + epsilon)];
}

const elementOf = (relation: "equal" | "greater") => (a: number, b: number) =>
  Number(relation === "equal" ? a === b : a > b);

const kernels: { readonly [K in OperatorKey]: Kernel<AttributesOf<K>> } = {
  inputOperator: () => {
    throw new Error("inputs are fed");
  },
  constantOperator: (_, { values, shape }) => ({ shape, data: Float64Array.from(values as ArrayLike<number>) }),
  rangeOperator: (_x, _, shape) => tabulate(shape, ([i]) => i!),
  addOperator: binary((a, b) => a + b),
  subOperator: binary((a, b) => a - b),
  mulOperator: binary((a, b) => a * b),
  divOperator: binary((a, b) => a / b),
  negOperator: unary((x) => -x),
  expOperator: unary(Math.exp),
  logOperator: unary(Math.log),
  sqrtOperator: unary(Math.sqrt),
  sigmoidOperator: unary((x) => 1 / (1 + Math.exp(-x))),
  tanhOperator: unary(Math.tanh),
  erfOperator: unary(erf),
  reluOperator: unary((x) => Math.max(x, 0)),
  compareOperator: (x, { relation }, shape, of) => binary(elementOf(relation))(x, {}, shape, of),
  sumOperator: reduction(total),
  maxOperator: reduction((values) => Math.max(...values)),
  matmulOperator: ([a, b, c], { transposeA, transposeB, scale }, shape) =>
    tabulate(shape, (at) => {
      const [row, column] = at.slice(-2) as [number, number];
      const batch = at.slice(0, -2);
      const inner = count(a!.shape.at(transposeA ? -2 : -1)!);
      const products = inner.map(
        (k) =>
          valueAt(a!, [...batch, ...(transposeA ? [k, row] : [row, k])]) *
          valueAt(b!, [...batch, ...(transposeB ? [column, k] : [k, column])]),
      );
      return scale * total(products) + (c ? valueAt(c, at) : 0);
    }),
  stepOperator: (x, { axes, largest }, shape, of) =>
    reduction((values) => Math.fround(Math.max(...values.map(Math.abs)) * Math.fround(1 / largest)))(
      x,
      { axes },
      shape,
      of,
    ),
  // As the runtime: the quotient in float32, halves to even. An unsigned integer stands for itself less 128.
  roundOperator: ([x, step], { to }, shape) =>
    tabulate(shape, (at) => {
      const [zero, least, most] = to === "uint8" ? [128, 0, 255] : [0, -128, 127];
      return Math.min(Math.max(toEven(Math.fround(valueAt(x!, at) / valueAt(step!, at))) + zero!, least!), most!);
    }),
  integerMatmulOperator: ([a, b, steps, bias], _, shape) =>
    tabulate(shape, ([row, column]) => {
      const inner = count(a!.shape[1]!);
      const sum = total(inner.map((k) => (valueAt(a!, [row!, k]) - 128) * valueAt(b!, [k, column!])));
      return sum * valueAt(steps!, [0, column!]) + (bias ? valueAt(bias, [column!]) : 0);
    }),
  softmaxOperator: ([x], _, shape) =>
    tabulate(shape, (at) => {
      const row = count(shape.at(-1)!).map((i) => valueAt(x!, [...at.slice(0, -1), i]));
      const largest = Math.max(...row);
      return Math.exp(row[at.at(-1)!]! - largest) / total(row.map((v) => Math.exp(v - largest)));
    }),
  layerNormOperator: ([x, gain, bias], { epsilon }, shape) =>
    tabulate(shape, (at) => {
      const [mean, scale] = moments(x!, at, epsilon);
      return (valueAt(x!, at) - mean) * scale * valueAt(gain!, at) + valueAt(bias!, at);
    }),
  standardiseOperator: ([x], { epsilon }, shape) =>
    tabulate(shape, (at) => {
      const [mean, scale] = moments(x!, at, epsilon);
      return (valueAt(x!, at) - mean) * scale;
    }),
  // The mean and the reciprocal standard deviation that layer normalisation gives beside its result.
  partOperator: ([x], { index }, shape, [made]) =>
    tabulate(shape, (at) => moments(x!, at, (made!.attributes as { epsilon: number }).epsilon)[index - 1]!),
  gatherOperator: ([table, ids], _, shape) =>
    tabulate(shape, (at) => valueAt(table!, [valueAt(ids!, at.slice(0, -1)), at.at(-1)!])),
  scatterRowsOperator: ([ids, rows], _, shape) =>
    tabulate(shape, ([id, column]) =>
      total(count(rows!.shape[0]!).map((i) => (valueAt(ids!, [i]) === id ? valueAt(rows!, [i, column!]) : 0))),
    ),
  argMaxOperator: ([x], { axis }, shape) =>
    tabulate(shape, (at) => {
      const along = count(x!.shape[axis]!).map((i) => valueAt(x!, replaced(at, axis, i)));
      return along.indexOf(Math.max(...along));
    }),
  reshapeOperator: ([x], _, shape) => ({ shape, data: x!.data }),
  transposeOperator: ([x], { permutation }, shape) =>
    tabulate(shape, (at) => {
      const from: number[] = [];
      for (const [i, axis] of permutation.entries()) from[axis] = at[i]!;
      return valueAt(x!, from);
    }),
  expandOperator: ([x], _, shape) => tabulate(shape, (at) => valueAt(x!, at)),
  concatOperator: (inputs, { axis }, shape) =>
    tabulate(shape, (at) => {
      let index = at[axis]!;
      let part = 0;
      while (index >= inputs[part]!.shape[axis]!) index -= inputs[part++]!.shape[axis]!;
      return valueAt(inputs[part]!, replaced(at, axis, index));
    }),
  sliceOperator: ([x], { axis, start }, shape) =>
    tabulate(shape, (at) => valueAt(x!, replaced(at, axis, at[axis]! + start))),
  padOperator: ([x], { axis, before }, shape) =>
    tabulate(shape, (at) => padded(x!, replaced(at, axis, at[axis]! - before))),
  withGradientOperator: ([y]) => y!,
  convolutionOperator: ([x, weight], { stride: s, padding: p, dilation: d }, shape) =>
    tabulate(shape, ([n, o, i, j]) => {
      const [, channels, rows, columns] = weight!.shape as [number, number, number, number];
      const terms = pairs(rows, columns).flatMap(([u, v]) =>
        count(channels).map(
          (c) => padded(x!, [n!, c, s * i! + d * u - p, s * j! + d * v - p]) * valueAt(weight!, [o!, c, u, v]),
        ),
      );
      return total(terms);
    }),
  // What a convolution spreads from x to y, brought back from y to x.
  convolutionTransposeOperator: ([y, weight], { stride: s, padding: p }, shape) =>
    tabulate(shape, ([n, c, i, j]) => {
      const [outputs, , rows, columns] = weight!.shape as [number, number, number, number];
      const terms = pairs(rows, columns)
        .map(([u, v]) => ({ u, v, row: (i! + p - u) / s, column: (j! + p - v) / s }))
        .filter(({ row, column }) => Number.isInteger(row) && Number.isInteger(column))
        .flatMap(({ u, v, row, column }) =>
          count(outputs).map((o) => padded(y!, [n!, o, row, column]) * valueAt(weight!, [o, c!, u, v])),
        );
      return total(terms);
    }),
  averagePoolOperator: ([x], { size }, shape) =>
    tabulate(shape, ([n, c, i, j]) => {
      const square = pairs(size, size).map(([u, v]) => valueAt(x!, [n!, c!, size * i! + u, size * j! + v]));
      return total(square) / square.length;
    }),
};

const kernelOf = new Map(
  Object.entries(operators)
    .filter(([key]) => key in kernels)
    .map(([key, { name }]) => [name, kernels[key as OperatorKey] as Kernel<unknown>]),
);

/** The values of every output, given those of the inputs, whose shapes also tell the sizes of symbols. */
export function evaluate(
  outputs: Readonly<Record<string, Tensor>>,
  feeds: Readonly<Record<string, Values>>,
): Record<string, Values> {
  const order = reachable(Object.values(outputs));
  const nameOf = (input: Tensor) => (input.attributes as { readonly name: string }).name;
  const sizes = new Map<Dim, number>();
  for (const tensor of order.filter((t) => t.operator.name === "input")) {
    for (const [i, dim] of tensor.shape.entries()) sizes.set(dim, feeds[nameOf(tensor)]!.shape[i]!);
  }
  const sizeOfDim = (dim: Dim): number => {
    const { count, symbols } = dimFactors(dim);
    return symbols.reduce((product, symbol) => product * sizes.get(symbol)!, count);
  };
  const values = new Map<Tensor, Values>();
  for (const tensor of order) {
    const { operator, attributes, shape } = tensor;
    // A part is computed from what its node was computed from.
    const inputs = operator.name === "part" ? tensor.inputs[0]!.inputs : tensor.inputs;
    values.set(
      tensor,
      operator.name === "input"
        ? feeds[nameOf(tensor)]!
        : kernelOf.get(operator.name)!(
            inputs.map((x) => values.get(x)!),
            attributes,
            shape.map(sizeOfDim),
            tensor.inputs,
          ),
    );
  }
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, values.get(tensor)!]));
}
