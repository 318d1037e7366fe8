/**
 * @file Tensors as nodes of a graph, and what an operator is.
 * A tensor knows the operator that makes it and that operator's inputs; a graph is whatever its outputs reach.
 * Nothing here computes numbers.
 */
import type { Emitter } from "./onnx/emitter.js";
import type { Shape } from "./shape.js";

export type DType = "float32" | "float64" | "int32" | "int64" | "uint8" | "int8";
export type Values = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array | Int8Array;

/** One value of the graph. Immutable: graphs are rewritten by making new tensors. */
export interface Tensor<A = unknown> {
  readonly operator: Operator<A>;
  readonly inputs: readonly Tensor[];
  readonly attributes: A;
  readonly shape: Shape;
  readonly dtype: DType;
}

/** Everything that is to know about one operator, in one place; a missing rule does not compile. */
export interface Operator<A> {
  readonly name: string;
  /** The result's shape; throws, naming both shapes, where the inputs do not fit. */
  shape(inputs: readonly Tensor[], attributes: A): Shape;
  /** The result's dtype; the first input's unless given. */
  dtype?(inputs: readonly Tensor[], attributes: A): DType;
  /** For each input the gradient of the loss with respect to it (null where there is none), given the result's. */
  gradient(result: Tensor<A>, upstream: Tensor): readonly (Tensor | null)[];
  /** Emits ONNX nodes; returns the names of the values that hold the outputs (the first is this tensor). */
  onnx(result: Tensor<A>, emit: Emitter): readonly string[];
}

/** A new tensor: `operator` applied to `inputs`. */
export function apply<A>(operator: Operator<A>, inputs: readonly Tensor[], attributes: A): Tensor<A> {
  const shape = operator.shape(inputs, attributes);
  const dtype = operator.dtype?.(inputs, attributes) ?? inputs[0]!.dtype;
  return { operator, inputs, attributes, shape, dtype };
}

/** Whether `tensor` was made by `operator`, with its attributes' type. */
export const madeBy = <A>(tensor: Tensor, operator: Operator<A>): tensor is Tensor<A> =>
  (tensor.operator as Operator<unknown>) === (operator as Operator<unknown>);

/** Every tensor that the outputs depend on, inputs before their users. Iterative: graphs are deeper than call stacks. */
export function reachable(outputs: readonly Tensor[]): Tensor[] {
  const order: Tensor[] = [];
  const seen = new Set<Tensor>();
  const stack: { readonly tensor: Tensor; next: number }[] = [];
  for (const output of outputs) {
    if (seen.has(output)) continue;
    seen.add(output);
    stack.push({ tensor: output, next: 0 });
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      const input = top.tensor.inputs[top.next++];
      if (input === undefined) {
        order.push(top.tensor);
        stack.pop();
      } else if (!seen.has(input)) {
        seen.add(input);
        stack.push({ tensor: input, next: 0 });
      }
    }
  }
  return order;
}
