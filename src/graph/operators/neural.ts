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
    const width = scalarLike(1 / (x.shape.at(-1) as number), x);
    const part = (index: number) => apply(partOperator, [result], { index, shape: lastAxisToOne(x) });
    const normalised = mul(sub(x, part(1)), part(2));
    const d = mul(dy, gain);
    const meanOf = (t: Tensor) => mul(sum(t, [-1]), width);
    // dx = (d − mean(d) − x̂·mean(d ⊙ x̂)) / σ
    const dx = mul(sub(sub(d, meanOf(d)), mul(normalised, meanOf(mul(d, normalised)))), part(2));
    return [dx, sumTo(mul(dy, normalised), gain.shape), sumTo(dy, gain.shape)];
  },
  onnx: ({ inputs, attributes: { epsilon } }, emit) =>
    emit.node(
      "LayerNormalization",
      inputs.map(emit.value),
      { axis: -1, epsilon: { type: "float", value: epsilon } },
      { outputs: 3 },
    ),
};

/** x `[…, D]`, gain and bias `[D]`. */
export const layerNorm = (x: Tensor, gain: Tensor, bias: Tensor, epsilon = 1e-5): Tensor =>
  apply(layerNormOperator, [x, gain, bias], { epsilon });
