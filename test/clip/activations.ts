/**
 * @file Finds the reference's activations in our graphs. Ours has no hooks, and not every activation of the reference is
 * a tensor of ours (a normalisation's gain moves into the weights behind it), so every tensor of a model is worked out,
 * and what the reference had must be among them.
 */

import type { Tensor } from "../../src/graph/index.js";
import { reachable } from "../../src/graph/tensor.js";
import type { TensorData } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { type Expected, relativeDifference } from "./goldenModel.js";

/** The values of every floating tensor that `output` is made from, in the order in which they are made. */
export async function everyTensor(
  output: Tensor,
  feeds: Readonly<Record<string, TensorData>>,
): Promise<readonly Float32Array[]> {
  const made = reachable([output]).filter(({ dtype, inputs }) => dtype === "float32" && inputs.length > 0);
  const program = await nodeRuntime({ threads: 1 }).compile(
    Object.fromEntries(made.map((tensor, i) => [String(i), tensor])),
  );
  const results = await program.run(feeds);
  await program.dispose();
  return made.map((_, i) => results[String(i)]!.data as Float32Array);
}

/** How far the nearest of `tensors` is from what is expected, as a share of its largest value. */
export const nearest = (tensors: readonly Float32Array[], expected: Float32Array): number =>
  tensors
    .filter(({ length }) => length === expected.length)
    .reduce((least, tensor) => Math.min(least, relativeDifference(tensor, expected)), Number.POSITIVE_INFINITY);

/** The first rows of a golden tensor. */
export const firstRows = ({ data, shape }: Expected, rows: number): TensorData => ({
  data: data.subarray(0, (data.length / shape[0]!) * rows),
  shape: [rows, ...shape.slice(1)],
});
