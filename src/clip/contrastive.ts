/** @file Where the towers meet: normalisation, similarity, and the loss of a batch whose matrix of logits is in one graph. */
import {
  add,
  compare,
  type Dim,
  div,
  exp,
  input,
  matmul,
  mul,
  reshape,
  sqrt,
  sub,
  sum,
  type Tensor,
  transpose,
  withGradient,
} from "../graph/index.js";
import { clipObjective, judge, logSumExp, type Objective, type Rows } from "./loss.js";

/** Rows divided by their Euclidean length: `[B, E]` → `[B, E]`. */
export const l2Normalise = (x: Tensor): Tensor => div(x, sqrt(sum(mul(x, x), [-1])));

/** exp(logitScale) · cosine of every picture (row) with every text (column): `[B, E]`, `[M, E]`, `[]` → `[B, M]`. */
export const similarity = (imageFeatures: Tensor, textFeatures: Tensor, logitScale: Tensor): Tensor =>
  mul(cosines(l2Normalise(imageFeatures), l2Normalise(textFeatures)), exp(logitScale));

/** Products of all rows with all rows: unit vectors `[R, E]`, `[N, E]` → `[R, N]`. */
export const cosines = (rows: Tensor, columns: Tensor): Tensor => matmul(rows, columns, { transposeB: true });

/** 1 where a row's number is a column's, else 0: int32 `[R]`, `[N]` → `[R, N]`. */
export const samePairs = (rows: Tensor, columns: Tensor): Tensor =>
  compare(reshape(rows, [rows.shape[0]!, 1]), "equal", reshape(columns, [1, columns.shape[0]!]));

/** Σ ‖x − teacher‖² / N over rows `[R, E]`, a scalar. */
export const featureDistance = (x: Tensor, teacher: Tensor, pairs: Tensor): Tensor => {
  const away = sub(x, teacher);
  return div(reshape(sum(mul(away, away), [0, 1]), []), pairs);
};

/** The number of rows as a scalar, also where it is known only when the graph runs. */
export const rowCount = (group: Tensor): Tensor => reshape(sum(compare(group, "equal", group), [0]), []);

/**
 * The loss of a batch, a scalar.
 * @param logits `[N, N]`, pictures along rows
 * @param group int32 `[N]`: rows with the same number have the same caption
 * @param teacher the teacher's logits, where it is learned from
 */
export function contrastiveLoss(
  logits: Tensor,
  group: Tensor,
  objective: Objective = clipObjective,
  teacher?: Tensor,
): Tensor {
  const positive = samePairs(group, group);
  const pairs = rowCount(group);
  const block = (x: Tensor) => ({ logits: x, columnSums: logSumExp(x, 0) });
  const rowsOf = (x: Tensor, byTeacher?: Tensor): Rows => ({
    ...block(x),
    positive,
    pairs,
    teacher: byTeacher && block(byTeacher),
  });
  const turned = (x: Tensor) => transpose(x, [1, 0]);
  const ofImages = judge(rowsOf(logits, teacher), objective).loss;
  const ofTexts = judge(rowsOf(turned(logits), teacher && turned(teacher)), objective).loss;
  return withGradient(reshape(add(ofImages, ofTexts), []), logits, (upstream, _, x) =>
    mul(judge(rowsOf(x, teacher), objective).slope, upstream),
  );
}

/**
 * Everything that a batch is judged by, a scalar: the contrastive loss, and the distance from a teacher, whose embeddings
 * are the inputs `teacher_image` and `teacher_text`, `[N, W]`.
 */
export function batchLoss(
  batch: { readonly [K in "imageFeatures" | "textFeatures" | "logits" | "group"]: Tensor },
  objective: Objective,
): Tensor {
  const { imageFeatures, textFeatures, logits, group } = batch;
  const { distillation } = objective;
  if (!distillation) return contrastiveLoss(logits, group, objective);
  const [size, width] = imageFeatures.shape as readonly [Dim, Dim];
  const teacher = (side: "image" | "text") =>
    l2Normalise(input(`teacher_${side}`, [size, distillation.features ? width : "W"]));
  const [image, text] = [teacher("image"), teacher("text")];
  const loss = contrastiveLoss(logits, group, objective, div(cosines(image, text), distillation.temperature));
  if (!distillation.features) return loss;
  const pairs = rowCount(group);
  const distance = add(
    featureDistance(l2Normalise(imageFeatures), image, pairs),
    featureDistance(l2Normalise(textFeatures), text, pairs),
  );
  return add(loss, mul(distance, distillation.features));
}
