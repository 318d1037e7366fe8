/**
 * @file Large products with weights in 8-bit integers: `x·W` forward and `dY·Wᵀ` backward, three times as fast on a CPU.
 * Follows SwitchBack (Wortsman et al. 2023, arXiv 2304.13013, §2.2): weight gradients stay in float32, because they sum over all
 * rows of a batch and noise adds up there; so do attention's products and the similarities, which have no weights.
 * Unlike there, weights have a step for each column rather than one in all: it costs nothing here and is finer.
 */
import {
  add,
  inputOperator,
  integerMatmul,
  type MatmulAttributes,
  matmulOperator,
  mul,
  round,
  standardiseOperator,
  step,
  transpose,
} from "./operators/index.js";
import { sameShape } from "./shape.js";
import { simplify } from "./simplify.js";
import { apply, madeBy, reachable, type Tensor } from "./tensor.js";

export interface QuantiseOptions {
  /** Names of the inputs that are parameters: what is made of them alone is a weight. */
  readonly parameters: ReadonlySet<string>;
  /** The largest integer of a weight: 127, or 63 where kernels sum pairs of products in 16 bits (x86 without VNNI). */
  readonly largestWeight?: number;
}

/** Below these a product costs less than the rounding before and the rescaling behind it. */
const fewest = { rows: 256, inner: 192, columns: 192 } as const;
const LARGEST_ACTIVATION = 127;

/** The same outputs, with large products of rows and weights worked out in 8 bits. Take gradients before. */
export function quantise(
  outputs: Readonly<Record<string, Tensor>>,
  { parameters, largestWeight = 127 }: QuantiseOptions,
): Record<string, Tensor> {
  const simplified = simplify(outputs);
  const order = reachable(Object.values(simplified));
  const fixed = new Set<Tensor>();
  for (const t of order) {
    const isFixed = madeBy(t, inputOperator) ? parameters.has(t.attributes.name) : t.inputs.every((x) => fixed.has(x));
    if (isFixed) fixed.add(t);
  }
  const rewritten = new Map<Tensor, Tensor>();
  for (const t of order) {
    const inputs = t.inputs.map((x) => rewritten.get(x)!);
    const result =
      madeBy(t, matmulOperator) && !fixed.has(t.inputs[0]!) && fixed.has(t.inputs[1]!) && isLarge(t)
        ? integerProduct(inputs, t.attributes, largestWeight)
        : inputs.every((x, i) => x === t.inputs[i])
          ? t
          : apply(t.operator, inputs, t.attributes);
    rewritten.set(t, result);
  }
  return Object.fromEntries(Object.entries(simplified).map(([name, t]) => [name, rewritten.get(t)!]));
}

/** Whether a product of rows and a weight is large enough; a dimension known only when it runs is taken to be. */
function isLarge({ inputs: [a], shape, attributes: { transposeA } }: Tensor<MatmulAttributes>): boolean {
  if (shape.length !== 2 || transposeA) return false;
  const sizes = { rows: shape[0]!, inner: a!.shape[1]!, columns: shape[1]! };
  return (["rows", "inner", "columns"] as const).every((axis) => {
    const size = sizes[axis];
    return typeof size !== "number" || size >= fewest[axis];
  });
}

/**
 * scale · x·op(W) + c, with a step for each column of op(W) and each row of x; in all, where rows have one length by
 * construction, since rescaling rows is a pass over the whole result. Equal roundings become one when simplified.
 */
function integerProduct(
  [x, weight, added]: readonly Tensor[],
  { transposeB, scale }: MatmulAttributes,
  largestWeight: number,
): Tensor {
  const weightSteps = step(weight!, [transposeB ? 1 : 0], largestWeight);
  const rounded = round(weight!, weightSteps, "int8");
  const [integers, steps] = transposeB
    ? [transpose(rounded, [1, 0]), transpose(weightSteps, [1, 0])]
    : [rounded, weightSteps];
  const columnSteps = scale === 1 ? steps : mul(steps, scale);
  if (madeBy(x!, standardiseOperator)) {
    const oneStep = step(x!, [0, 1], LARGEST_ACTIVATION);
    const bias = added && sameShape(added.shape, [columnSteps.shape[1]!]) ? added : undefined;
    const product = integerMatmul(round(x!, oneStep, "uint8"), integers, mul(columnSteps, oneStep), bias);
    return added && !bias ? add(product, added) : product;
  }
  const rowSteps = step(x!, [1], LARGEST_ACTIVATION);
  const product = mul(integerMatmul(round(x!, rowSteps, "uint8"), integers, columnSteps), rowSteps);
  return added ? add(product, added) : product;
}
