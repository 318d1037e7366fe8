/** @file A batch as a training step takes it, whole or in micro-batches. */
import { type ClipConfig, inputSides, type Objective } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import type { TensorData } from "../runtime/index.js";

/** The pairs of one step, or one rank's share of them: B pairs, H×W pixels, L tokens. */
export interface TrainingBatch {
  /** Normalised, `[B, 3, H, W]`. */
  readonly pixels: Float32Array;
  /** `[B, L]`. */
  readonly ids: Int32Array;
  readonly length: number;
  /** `[B]`: tokens of each text, so that a micro-batch may be cut to its longest. L for each unless given. */
  readonly lengths?: Int32Array;
  readonly size: number;
  /** `[B]`: rows with the same number, on whichever rank, have the same caption. */
  readonly group: Int32Array;
  /** `[B, K]`: the patches of each picture that are looked at; what `patchDropout` asks for. */
  readonly patches?: Int32Array | undefined;
  /** What a larger CLIP embeds these pairs as, `[B, W]` each, of any length. */
  readonly teacher?: { readonly image: Float32Array; readonly text: Float32Array };
}

/** The inputs of the towers. */
export function towerFeeds(config: ClipConfig, { pixels, ids, length, size, patches }: TrainingBatch) {
  return {
    pixels: { data: pixels, shape: [size, 3, ...inputSides(config)] },
    ids: { data: ids, shape: [size, length] },
    ...(patches && { patches: { data: patches, shape: [size, patches.length / size] } }),
  } satisfies Record<string, TensorData>;
}

/**
 * The teacher's embeddings as matrices, where there is one to learn from.
 * @throws DiptychError "NoTeacher", "TeacherWidth"
 */
export function teacherOf({ distillation }: Objective, { embedSize }: ClipConfig, { teacher, size }: TrainingBatch) {
  if (!distillation) return undefined;
  if (!teacher) {
    throw new DiptychError(
      "NoTeacher",
      "The recipe distils from a teacher, but the batch brings none of its embeddings.",
      "Let the teacher embed the data first, or leave distillation out.",
    );
  }
  const width = teacher.image.length / size;
  if (distillation.features && width !== embedSize) {
    throw new DiptychError(
      "TeacherWidth",
      `The teacher's embeddings have ${width} numbers and this model's ${embedSize}: their features cannot be compared.`,
      "Distil by similarity alone, which works for any width, or give the model the teacher's embedSize.",
    );
  }
  const matrix = (data: Float32Array): TensorData => ({ data, shape: [size, width] });
  return { image: matrix(teacher.image), text: matrix(teacher.text) };
}

/** A batch in parts of `most` pairs, the last perhaps smaller; texts are cut to the longest of their part. */
export function microBatches(batch: TrainingBatch, most: number): TrainingBatch[] {
  return Array.from({ length: Math.ceil(batch.size / most) }, (_, i) => {
    const [from, to] = [i * most, Math.min((i + 1) * most, batch.size)];
    const rows = <T extends Float32Array | Int32Array>(all: T) =>
      all.subarray((all.length / batch.size) * from, (all.length / batch.size) * to) as T;
    const longest = batch.lengths ? Math.max(...rows(batch.lengths)) : batch.length;
    const length = Math.min(Math.ceil(longest / 4) * 4, batch.length); // few shapes, of which the runtime keeps plans
    return {
      pixels: rows(batch.pixels),
      ids: cutRows(rows(batch.ids), batch.length, length),
      length,
      size: to - from,
      group: rows(batch.group),
      patches: batch.patches && rows(batch.patches),
    };
  });
}

/** The first `length` numbers of each row of `width`. */
function cutRows(ids: Int32Array, width: number, length: number): Int32Array {
  if (length === width) return ids;
  const cut = new Int32Array((ids.length / width) * length);
  for (let row = 0; row * width < ids.length; row++) {
    cut.set(ids.subarray(row * width, row * width + length), row * length);
  }
  return cut;
}
