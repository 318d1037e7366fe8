/**
 * @file The data room's face (Node): sources of pairs, and training batches out of them.
 */
export { type Batch, type BatchOptions, batches, type Position, stepsPerEpoch } from "./batches.js";
export { expandBraces } from "./braces.js";
export { captions } from "./captions.js";
export { groupRows } from "./group.js";
export { openSource } from "./open.js";
export { epochPermutation } from "./order.js";
export { openShardPictures, type ShardPictures } from "./shardSource.js";
export type { ClassName, Sample, Source } from "./source.js";
export { parseSourceSpec, type SourceSpec, sourcesSchema } from "./spec.js";
export { samplesPerPiece, type TaughtPair, withTeacher, writeTaught } from "./teacher.js";
