/** @file The reference's tensors for the tests of this room, read by the checkpoint room. */
import { readFile } from "node:fs/promises";
import { memorySource, parseSafetensors, readTensor } from "../../src/checkpoint/index.js";
import { normaliseRows } from "../../src/tasks/index.js";
import type { Matrix } from "../../src/tasks/matrix.js";
import { shared } from "../goldens.js";

/** The tensors of a safetensors file under `shared`, by name. */
export async function readTensors(name: string): Promise<Map<string, Matrix>> {
  const { tensors } = await parseSafetensors(memorySource(name, await readFile(shared(name))));
  const read = await Promise.all(tensors.map(readTensor));
  return new Map(read.map(({ name, data, shape }) => [name, { data, shape: [shape[0]!, shape[1] ?? 1] }]));
}

export const readJson = async <T>(name: string): Promise<T> => JSON.parse(await readFile(shared(name), "utf8")) as T;

export const normalised = (tensors: Map<string, Matrix>, name: string): Matrix => normaliseRows(tensors.get(name)!);

/** [C, N] of [N, C]. */
export function transposed({ data, shape: [rows, columns] }: Matrix): Matrix {
  const out = new Float32Array(data.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = data[i * columns + j]!;
  return { data: out, shape: [columns, rows] };
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let largest = a.length === b.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}
