/** @file The answers' face: embeddings, similarity, zero-shot classes, search, metrics. `node.ts` adds loading from files. */
export {
  type Clip,
  createClip,
  type EmbedImagesOptions,
  type EmbedTextsOptions,
  type ImageInput,
  type PictureSource,
} from "./clip.js";
export {
  type CaptionedPictures,
  type EvaluateOptions,
  evaluateRetrieval,
  evaluateZeroShot,
  type LabelledPictures,
  type RetrievalOptions,
  type RetrievalResult,
  type ZeroShotOptions,
  type ZeroShotResult,
} from "./evaluate.js";
export { idxPictures } from "./idx.js";
export {
  classScores,
  evaluateLinearProbe,
  type Labelled,
  type LinearClassifier,
  type LinearProbeResult,
  logisticRegression,
} from "./linearProbe.js";
export { type Matrix, normaliseRows, row, rows, similarityMatrix, softmaxRows } from "./matrix.js";
export {
  type ClassificationMetrics,
  classificationMetrics,
  type Recall,
  type RetrievalMetrics,
  retrievalMetrics,
} from "./metrics.js";
export { best, type Match, search } from "./search.js";
export { classify, defaultTemplates, zeroShotClassifier } from "./zeroShot.js";
