/**
 * @file Reverse-mode differentiation from graph to graph (Griewank & Walther 2008, ch. 3).
 * The result is made of the same operators, so it is simplified, printed and run like any other graph.
 */
import { add, expand, scalarLike } from "./operators/index.js";
import { reachable, type Tensor } from "./tensor.js";

/**
 * d loss / d x for every x in `of`, each in x's shape; zeros where the loss does not depend on x.
 * @param loss a scalar (shape `[]` or all ones), or any tensor if `seed` gives the gradient with respect to it
 */
export function gradient(loss: Tensor, of: readonly Tensor[], seed?: Tensor): Tensor[] {
  if (!seed && loss.shape.some((dim) => dim !== 1))
    throw new Error(`gradient of a loss of shape [${loss.shape}], which is no scalar`);
  const order = reachable([loss]);
  const wanted = new Set(of);
  // Only tensors on a path from `of` to the loss need a gradient.
  const active = new Set<Tensor>();
  for (const tensor of order) {
    if (wanted.has(tensor) || tensor.inputs.some((x) => active.has(x))) active.add(tensor);
  }
  const upstream = new Map<Tensor, Tensor>();
  upstream.set(loss, seed ?? expand(scalarLike(1, loss), loss.shape));
  for (const tensor of order.reverse()) {
    const dy = upstream.get(tensor);
    if (!dy || !active.has(tensor) || tensor.inputs.length === 0) continue;
    const gradients = tensor.operator.gradient(tensor, dy);
    tensor.inputs.forEach((x, i) => {
      const dx = gradients[i];
      if (!dx || !active.has(x)) return;
      const sofar = upstream.get(x);
      upstream.set(x, sofar ? add(sofar, dx) : dx);
    });
  }
  return of.map((x) => upstream.get(x) ?? expand(scalarLike(0, x), x.shape));
}
