/**
 * @file What both ways to the gradients of a batch give: all in one program (`fused.ts`), or micro-batch by micro-batch
 * (`cached.ts`). The gradients themselves go to their arena.
 */
import type { ClipConfig } from "../clip/index.js";
import type { Tensor } from "../graph/index.js";
import type { CompileOptions, Program, Runtime, TensorData } from "../runtime/index.js";
import type { Views } from "./arena.js";
import type { TrainingBatch } from "./batch.js";
import type { Task } from "./stepper.js";

/** What a step over arenas is made of: the model, where its numbers lie, and what runs it. */
export interface Model extends Task {
  /** Views of the arenas by name. */
  readonly parameters: Views;
  readonly gradients: Views;
  /** The gradients' arena. */
  readonly arena: Float32Array;
  readonly runtime: Runtime;
  /** Compiles what holds a tower, in the precision asked for. */
  compile(outputs: Readonly<Record<string, Tensor>>, options?: CompileOptions): Promise<Program>;
}

/** What a batch says before it is learned from. */
export interface BatchReport {
  readonly loss: number;
  /** Share of pictures whose best text, and of texts whose best picture, in the batch is one of their own. */
  readonly imageAccuracy: number;
  readonly textAccuracy: number;
  /** Mean cosine of two different pictures' embeddings, and of two texts': 1 when all have become one. */
  readonly imageCosine: number;
  readonly textCosine: number;
}

export interface Differentiated extends BatchReport {
  /** New running averages by name. */
  readonly statistics: ReadonlyMap<string, Float32Array>;
}

export interface Differentiator {
  /** Replaces what the gradients' arena holds. @throws DiptychError "NoTeacher" */
  differentiate(batch: TrainingBatch): Promise<Differentiated>;
  dispose(): Promise<void>;
}

/** So many pictures' activations pass from one operator to the next within the cache; 7% faster than whole batches. */
export const imagesAtATime = 16;

/** Batch normalisation needs all pictures at once. */
export const portionOf = ({ image }: ClipConfig): number | undefined =>
  image.kind === "vit" ? imagesAtATime : undefined;

/** The gradient of a parameter, among a program's outputs and inputs. */
export const gradientOf = (name: string): string => `d ${name}`;

/** Before the name of what a step changes: its value after the step. */
export const after = "new ";

/** The new running averages among a model's outputs. */
export const averageOutputs = (statistics: ReadonlyMap<string, Tensor | null>): Record<string, Tensor> =>
  Object.fromEntries([...statistics].flatMap(([name, value]) => (value ? [[after + name, value]] : [])));

/** The new running averages among a program's results. */
export const averagesOf = (results: Readonly<Record<string, TensorData>>): Map<string, Float32Array> =>
  new Map(
    Object.entries(results).flatMap(([name, { data }]) =>
      name.startsWith(after) ? [[name.slice(after.length), data as Float32Array]] : [],
    ),
  );

/** The mean over all pairs of different unit vectors, from the sum of `count` of them: (‖Σ‖² − n) / (n(n − 1)). */
export function meanCosine(sum: Float32Array, count: number): number {
  const squared = sum.reduce((total, value) => total + value * value, 0);
  return count === 1 ? 1 : (squared - count) / (count * (count - 1));
}

/** How many rows have a best column of their own group; `best` are int64 indices. */
export const rightRows = (best: TensorData, rows: Int32Array, columns: Int32Array): number =>
  rows.filter((group, i) => columns[Number(best.data[i])] === group).length;
