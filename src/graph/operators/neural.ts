/** @file Operators with a kernel of their own because they are met in every block: softmax and layer normalisation. */
import { formatShape, sameShape } from "../shape.js";
import { apply, type Operator, type Tensor } from "../tensor.js";
import { mul, sub } from "./elementwise.js";
import { scalarLike } from "./leaves.js";
import { sum, sumTo } from "./reduce.js";

/** softmax(x)_i = exp(x_i) / Σ_j exp(x_j) along the last axis. */
export const softmaxOperator: Operator<Readonly<Record<string, never>>> = {
  name: "softmax",
  shape: ([x]) => x!.shape,
  // dx = y ⊙ (dy − Σ_j dy_j y_j)
  gradient: (y, dy) => [mul(y, sub(dy, sum(mul(dy, y), [-1])))],
  onnx: (result, emit) => emit.node("Softmax", result.inputs.map(emit.value), { axis: -1 }),
};

export const softmax = (x: Tensor): Tensor => apply(softmaxOperator, [x], {});

/** Output `index` of a tensor whose ONNX node has several. Only gradients use it; it has none itself. */
export const partOperator: Operator<{ readonly index: number; readonly shape: Tensor["shape"] }> = {
  name: "part",
  shape: (_, { shape }) => shape,
  gradient: () => {
    throw new Error("gradients of gradients are not implemented");
  },
  onnx: ({ inputs, attributes: { index } }, emit) => [emit.outputs(inputs[0]!)[index]!],
};

const lastAxisToOne = (x: Tensor) => [...x.shape.slice(0, -1), 1];

/**
 * (x − mean) / √(variance + ε) · gain + bias along the last axis (Ba et al. 2016). Its further outputs are the mean and
 * the reciprocal standard deviation, `[…, 1]`, which the gradient uses.
 */
export const layerNormOperator: Operator<{ readonly epsilon: number }> = {
  name: "layerNorm",
  shape: ([x, gain, bias]) => {
    const width = x!.shape.at(-1);
    if (typeof width !== "number" || [gain!, bias!].some((t) => !sameShape(t.shape, [width]))) {
      const shapes = [x!, gain!, bias!].map((t) => formatShape(t.shape));
      throw new Error(`layerNorm of ${shapes[0]} with gain ${shapes[1]} and bias ${shapes[2]}`);
    }
    return x!.shape;
  },
  gradient: (result, dy) => {
    const [x, gain] = result.inputs as [Tensor, Tensor, Tensor];
    const normalised = mul(sub(x, statistic(result, "mean")), statistic(result, "reciprocal"));
    const dx = layerNormGradient(result, normalised, mul(dy, gain));
    return [dx, sumTo(mul(dy, normalised), gain.shape), sumTo(dy, gain.shape)];
  },
  onnx: ({ inputs, attributes: { epsilon } }, emit) =>
    emit.node("LayerNormalization", inputs.map(emit.value), normAttributes(epsilon), { outputs: 3 }),
};

const normAttributes = (epsilon: number) => ({ axis: -1, epsilon: { type: "float", value: epsilon } }) as const;

/** The further outputs of a `LayerNormalization` node, `[…, 1]`: the mean, and 1 / √(variance + ε). */
const statistic = (result: Tensor, which: "mean" | "reciprocal"): Tensor =>
  apply(partOperator, [result], { index: which === "mean" ? 1 : 2, shape: lastAxisToOne(result) });

/** dx = (d − mean(d) − x̂·mean(d ⊙ x̂)) / σ, for the gradient d with respect to x̂. */
function layerNormGradient(result: Tensor, normalised: Tensor, d: Tensor): Tensor {
  const meanOf = (t: Tensor) => mul(sum(t, [-1]), scalarLike(1 / (t.shape.at(-1) as number), t));
  const along = mul(normalised, meanOf(mul(d, normalised)));
  return mul(sub(sub(d, meanOf(d)), along), statistic(result, "reciprocal"));
}

/**
 * Layer normalisation without gain and bias. They can move into the linear map that follows, which costs nothing there;
 * and the result is x̂ itself, which the gradient needs.
 */
export const standardiseOperator: Operator<{ readonly epsilon: number }> = {
  name: "standardise",
  shape: ([x]) => {
    if (typeof x!.shape.at(-1) !== "number")
      throw new Error(`standardise of ${formatShape(x!.shape)}, of unknown width`);
    return x!.shape;
  },
  gradient: (result, dy) => [layerNormGradient(result, result, dy)],
  onnx: ({ inputs: [x], attributes: { epsilon } }, emit) => {
    const width = x!.shape.at(-1) as number;
    const array = x!.dtype === "float64" ? Float64Array : Float32Array;
    const [gain, bias] = [1, 0].map((value) => emit.constant(new array(width).fill(value), [width], x!.dtype));
    return emit.node("LayerNormalization", [emit.value(x!), gain!, bias!], normAttributes(epsilon), { outputs: 3 });
  },
};

/** (x − mean) / √(variance + ε) along the last axis. */
export const standardise = (x: Tensor, epsilon = 1e-5): Tensor => apply(standardiseOperator, [x], { epsilon });

/** x `[…, D]`, gain and bias `[D]`. */
export const layerNorm = (x: Tensor, gain: Tensor, bias: Tensor, epsilon = 1e-5): Tensor =>
  apply(layerNormOperator, [x, gain, bias], { epsilon });
