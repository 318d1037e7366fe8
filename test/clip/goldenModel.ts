/** @file A small model of the reference, with what the reference computed from it; used by the tests of training too. */
import { type Checkpoint, loadCheckpoint, readSafetensors } from "../../src/checkpoint/node.js";
import type { TensorData } from "../../src/runtime/index.js";
import { shared } from "../goldens.js";

export interface Expected {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** The tensors of a golden safetensors file by name; integers come as floats. */
export async function golden(name: string): Promise<Map<string, Expected>> {
  const { tensors } = await readSafetensors(shared(`goldens/${name}.safetensors`));
  return new Map(tensors.map((tensor) => [tensor.name, tensor]));
}

export const goldenModel = (name: string): Promise<Checkpoint> =>
  loadCheckpoint(shared(`goldens/models/${name}/${name}.openclip.safetensors`));

/** The batch that the reference ran on: pixels, ids, and a group for every row, as all captions differ. */
export async function goldenBatch(name: string): Promise<{ readonly [K in "pixels" | "ids" | "group"]: TensorData }> {
  const inputs = await golden(`models/${name}/inputs`);
  const [pixels, tokens] = [inputs.get("images")!, inputs.get("tokens")!];
  return {
    pixels,
    ids: { data: Int32Array.from(tokens.data), shape: tokens.shape },
    group: { data: Int32Array.from({ length: tokens.shape[0]! }, (_, i) => i), shape: [tokens.shape[0]!] },
  };
}

/** Largest difference, absolute; infinite where lengths differ, NaN where either is. */
export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < actual.length; i++) worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
  return worst;
}

/** Largest difference as a share of the largest expected value. */
export const relativeDifference = (actual: ArrayLike<number>, expected: ArrayLike<number>): number =>
  largestDifference(actual, expected) / Array.from(expected).reduce((most, v) => Math.max(most, Math.abs(v)), 0);
