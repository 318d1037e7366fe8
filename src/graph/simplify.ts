/**
 * @file Rewrites a graph into a smaller one with the same values.
 * A pass goes from the inputs to the outputs: each tensor is rebuilt on its simplified inputs, local rules are tried until
 * none fits, and equal tensors become one (hash-consing). What no output reaches is gone by construction. Tensors that
 * become one late leave others used only once, so passes follow until one changes nothing.
 */
import {
  addOperator,
  constant,
  constantOperator,
  expandOperator,
  inputOperator,
  type MatmulAttributes,
  matmulOperator,
  mulOperator,
  negOperator,
  reshapeOperator,
  subOperator,
  sumOperator,
  transposeOperator,
  withGradientOperator,
} from "./operators/index.js";
import { broadcastShapes, sameShape } from "./shape.js";
import { apply, madeBy, type Operator, reachable, type Tensor } from "./tensor.js";

type Outputs = Readonly<Record<string, Tensor>>;

/** The same outputs, simplified. */
export function simplify(outputs: Outputs): Record<string, Tensor> {
  let simplified = outputs;
  for (let changed = true; changed; ) ({ simplified, changed } = pass(simplified, rules));
  return { ...simplified };
}

/**
 * The same outputs with equal tensors made one, and nothing else rewritten. Before gradients are taken, so that they
 * flow together where values are shared; input tensors stay the ones they were.
 */
export const share = (outputs: Outputs): Record<string, Tensor> => pass(outputs, []).simplified;

function pass(
  outputs: Outputs,
  rules: readonly Rule[],
): { readonly simplified: Record<string, Tensor>; readonly changed: boolean } {
  const rewrite: Rule = (t, usedOnce) => {
    for (const rule of rules) {
      const result = rule(t, usedOnce);
      if (result) return result;
    }
    return undefined;
  };
  const simplified = new Map<Tensor, Tensor>();
  const known = new Map<string, Tensor>();
  const numbers = new Map<Tensor, number>();
  const number = (t: Tensor) => {
    if (!numbers.has(t)) numbers.set(t, numbers.size);
    return numbers.get(t)!;
  };
  const unique = (t: Tensor): Tensor => {
    if (madeBy(t, constantOperator) && t.attributes.values.length > 16) return t;
    const key = JSON.stringify([t.operator.name, t.inputs.map(number), t.attributes, t.dtype], (_, value) =>
      // bytes, because JSON knows neither infinities nor NaN
      ArrayBuffer.isView(value) ? Array.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)) : value,
    );
    const found = known.get(key);
    if (!found) known.set(key, t);
    return found ?? t;
  };
  const order = reachable(Object.values(outputs));
  const uses = new Map<Tensor, number>();
  for (const tensor of [...Object.values(outputs), ...order.flatMap((t) => t.inputs)]) count(uses, tensor, 1);
  const usesOfSimplified = new Map<Tensor, number>();
  const usedOnce = (t: Tensor) => (usesOfSimplified.get(t) ?? 1) === 1;
  for (const tensor of order) {
    const inputs = tensor.inputs.map((x) => simplified.get(x)!);
    let result = inputs.every((x, i) => x === tensor.inputs[i])
      ? tensor
      : apply(tensor.operator, inputs, tensor.attributes);
    for (let next = rewrite(result, usedOnce); next; next = rewrite(result, usedOnce)) result = next;
    result = unique(result);
    simplified.set(tensor, result);
    count(usesOfSimplified, result, uses.get(tensor)!);
  }
  return {
    simplified: Object.fromEntries(Object.entries(outputs).map(([name, t]) => [name, simplified.get(t)!])),
    changed: order.some((t) => simplified.get(t) !== t),
  };
}

const count = (counts: Map<Tensor, number>, tensor: Tensor, by: number) =>
  counts.set(tensor, (counts.get(tensor) ?? 0) + by);

/** A local rewriting, or undefined where it does not fit. */
type Rule = (t: Tensor, usedOnce: (x: Tensor) => boolean) => Tensor | undefined;

/** The value of a one-element constant. */
const scalarOf = (t: Tensor): number | undefined =>
  madeBy(t, constantOperator) && t.attributes.values.length === 1 ? Number(t.attributes.values[0]) : undefined;

const broadcasting: readonly Operator<unknown>[] = [
  addOperator,
  subOperator,
  mulOperator,
] as readonly Operator<unknown>[];

const rules: readonly Rule[] = [
  // reshape(reshape(x)) = reshape(x); a reshape to the same shape is nothing
  (t) => {
    if (!madeBy(t, reshapeOperator)) return undefined;
    const [x] = t.inputs as [Tensor];
    if (sameShape(x.shape, t.shape)) return x;
    return madeBy(x, reshapeOperator) ? apply(reshapeOperator, x.inputs, t.attributes) : undefined;
  },
  // two transposes become one, or none
  (t) => {
    if (!madeBy(t, transposeOperator)) return undefined;
    const { permutation } = t.attributes;
    const [x] = t.inputs as [Tensor];
    if (permutation.every((axis, i) => axis === i)) return x;
    if (!madeBy(x, transposeOperator)) return undefined;
    const inner = x.attributes.permutation;
    return apply(transposeOperator, x.inputs, { permutation: permutation.map((axis) => inner[axis]!) });
  },
  // a transpose of the last two axes folds into a product
  (t) => {
    if (!madeBy(t, matmulOperator)) return undefined;
    const flip = (x: Tensor) => {
      if (!madeBy(x, transposeOperator)) return undefined;
      const { permutation } = x.attributes;
      const last = permutation.length - 1;
      const swapsLast = permutation.every((axis, i) => axis === (i === last ? last - 1 : i === last - 1 ? last : i));
      return swapsLast ? x.inputs[0] : undefined;
    };
    const [a, b, ...rest] = t.inputs as [Tensor, Tensor, ...Tensor[]];
    const plainA = flip(a);
    const plainB = flip(b);
    if (!plainA && !plainB) return undefined;
    return apply(matmulOperator, [plainA ?? a, plainB ?? b, ...rest], {
      ...t.attributes,
      transposeA: t.attributes.transposeA !== !!plainA,
      transposeB: t.attributes.transposeB !== !!plainB,
    });
  },
  // a number times a product is a product with another factor
  (t, usedOnce) => {
    if (!madeBy(t, mulOperator)) return undefined;
    for (const [x, factor] of [
      [t.inputs[0]!, scalarOf(t.inputs[1]!)],
      [t.inputs[1]!, scalarOf(t.inputs[0]!)],
    ] as const) {
      if (factor === undefined || !sameShape(x.shape, t.shape)) continue;
      if (factor === 1) return x;
      if (madeBy(x, matmulOperator) && x.inputs.length === 2 && usedOnce(x)) {
        const attributes: MatmulAttributes = { ...x.attributes, scale: x.attributes.scale * factor };
        return apply(matmulOperator, x.inputs, attributes);
      }
      if (madeBy(x, mulOperator)) {
        const inner = scalarOf(x.inputs[1]!);
        if (inner !== undefined) return apply(mulOperator, [x.inputs[0]!, scaled(x.inputs[1]!, factor)], {});
      }
    }
    return undefined;
  },
  // a + (−b) = a − b
  (t) =>
    madeBy(t, addOperator) && madeBy(t.inputs[1]!, negOperator)
      ? apply(subOperator, [t.inputs[0]!, t.inputs[1]!.inputs[0]!], {})
      : undefined,
  // a sum with a product of matrices is that product with an added term: gradients accumulate in place of a pass of their own
  (t, usedOnce) => {
    if (!madeBy(t, addOperator)) return undefined;
    for (const [x, other] of [
      [t.inputs[1]!, t.inputs[0]!],
      [t.inputs[0]!, t.inputs[1]!],
    ] as const) {
      const product = madeBy(x, matmulOperator) && x.inputs.length === 2 && x.shape.length === 2 && usedOnce(x);
      if (product && sameShape(x.shape, other.shape)) {
        return apply(matmulOperator, [...x.inputs, other], x.attributes);
      }
    }
    return undefined;
  },
  // repeating before an operator that repeats by itself is needless
  (t) => {
    if (!broadcasting.includes(t.operator)) return undefined;
    const inputs = t.inputs.map((x) => (madeBy(x, expandOperator) ? x.inputs[0]! : x));
    if (inputs.every((x, i) => x === t.inputs[i])) return undefined;
    return sameShape(broadcastShapes(inputs.map((x) => x.shape)), t.shape)
      ? apply(t.operator, inputs, t.attributes)
      : undefined;
  },
  // once gradients are taken, how they were to be taken does not matter
  (t) => (madeBy(t, withGradientOperator) ? t.inputs[0] : undefined),
  // a sum of many rows is a product with ones, which is faster and takes in what else is added
  (t) => {
    if (!madeBy(t, sumOperator) || t.shape.length !== 2 || t.attributes.axes.join() !== "0") return undefined;
    const [x] = t.inputs as [Tensor];
    const rows = x.shape[0]!;
    if (typeof rows !== "number" || rows < 64 || x.dtype !== "float32") return undefined;
    const ones = constant(new Float32Array(rows).fill(1), [1, rows]);
    return apply(matmulOperator, [ones, x], { transposeA: false, transposeB: false, scale: 1 });
  },
  // a sum over axes of size 1 is nothing
  (t) =>
    madeBy(t, sumOperator) && t.attributes.axes.every((axis) => t.inputs[0]!.shape[axis] === 1)
      ? t.inputs[0]
      : undefined,
];

function scaled(constant: Tensor, factor: number): Tensor {
  if (!madeBy(constant, constantOperator)) throw new Error("not a constant");
  const { values, shape, dtype } = constant.attributes;
  const product = Array.from(values as ArrayLike<number | bigint>, (value) => Number(value) * factor);
  return apply(constantOperator, [], {
    values: dtype === "float64" ? Float64Array.from(product) : Float32Array.from(product),
    shape,
    dtype,
  });
}

/** Names of the graph's inputs, with their tensors, in the order of first use. */
export function inputsOf(outputs: Readonly<Record<string, Tensor>>): Map<string, Tensor> {
  const inputs = new Map<string, Tensor>();
  for (const t of reachable(Object.values(outputs))) if (madeBy(t, inputOperator)) inputs.set(t.attributes.name, t);
  return inputs;
}
