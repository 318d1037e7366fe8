/** @file What the forward run of a tower leaves behind for the backward one, counted in its graphs. */
import { simplify } from "../dist/graph/index.js";
import { towerGraphs } from "../dist/train/towers.js";

/**
 * Bytes that a backward run reads of what the forward one made: every tensor once, however it is reshaped.
 * @param symbols sizes of the dimensions that the graph leaves open
 */
function keptBytes(tower, symbols) {
  const { encode, backward } = towerGraphs(tower);
  const { features, ...gradients } = simplify({ ...encode, ...backward });
  const forward = new Set();
  const collect = (tensor) => {
    if (forward.has(tensor)) return;
    forward.add(tensor);
    tensor.inputs.forEach(collect);
  };
  collect(features);
  const whole = (tensor) => (tensor.operator.name === "reshape" ? whole(tensor.inputs[0]) : tensor);
  const kept = new Set();
  const seen = new Set();
  const search = (tensor) => {
    if (seen.has(tensor)) return;
    seen.add(tensor);
    for (const input of tensor.inputs) {
      if (forward.has(input)) kept.add(whole(input));
      else search(input);
    }
  };
  Object.values(gradients).forEach(search);
  const factor = (symbol) => symbols[symbol] ?? Number(symbol);
  const sizeOf = (dim) =>
    String(dim)
      .split("*")
      .map(factor)
      .reduce((a, b) => a * b);
  const bytes = ({ shape, dtype }) => shape.map(sizeOf).reduce((a, b) => a * b, dtype === "int64" ? 8 : 4);
  return [...kept]
    .filter(({ operator }) => operator.name !== "input" && operator.name !== "constant")
    .reduce((total, tensor) => total + bytes(tensor), 0);
}

/**
 * A tower's activations for `batch` pairs, in bytes: what grows with the batch, not the weights that were multiplied by
 * gains on the way.
 * @param towerOf the tower for a batch of so many pairs
 */
export const activationBytes = (towerOf, batch, symbols = {}) =>
  keptBytes(towerOf(2 * batch), { ...symbols, B: 2 * batch }) - keptBytes(towerOf(batch), { ...symbols, B: batch });
