/**
 * @file What an operator's ONNX rule is given: a place to put nodes and constants.
 * `onnxModel` in `model.ts` implements it; the rules see only this.
 */
import type { Shape } from "../shape.js";
import type { DType, Tensor, Values } from "../tensor.js";

/** Portable: standard operators alone, for export. Fast: also ONNX Runtime's own (`com.microsoft`). */
export type OnnxForm = "portable" | "fast";

/** Plain numbers are integers and lists of integers; whatever else says what it is. */
export type OnnxAttribute =
  | number
  | readonly number[]
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "dtype"; readonly value: DType }
  | { readonly type: "scalar"; readonly value: number; readonly dtype: DType };

export interface Emitter {
  readonly form: OnnxForm;
  /** The value that holds an input's (first) output. */
  readonly value: (tensor: Tensor) => string;
  /** All outputs of the node that made an input. */
  readonly outputs: (tensor: Tensor) => readonly string[];
  /** Declares a graph input. */
  input(name: string, tensor: Tensor): string;
  /** Adds a node; returns the names of its outputs. */
  node(
    type: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, OnnxAttribute>>,
    options?: { readonly domain?: string; readonly outputs?: number },
  ): string[];
  constant(values: Values, shape: readonly number[], dtype: DType): string;
  /** A constant list of int64. */
  int64(values: readonly number[]): string;
  /** A shape as an int64 list; symbols are read from the inputs that carry them. */
  shape(shape: Shape): string;
  /** The same for `Reshape`, which can infer one dimension itself. */
  reshapeTarget(shape: Shape): string;
}
