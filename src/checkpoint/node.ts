/** @file The room's face where there is a file system. */

export type { LoadOptions } from "./describe.js";
export { readSafetensors, replaceFile, replaceFolder, withFiles, writeSafetensors } from "./files.js";
export { generationFolder, generations, newestCheckpoint, pruneGenerations } from "./generations.js";
export { endpointOfEnvironment, tokenOfEnvironment } from "./hub/cache.js";
export { bytesOf, type Connection, patience, persist, request, Unavailable } from "./hub/http.js";
export { type HubOptions, type Progress, resolveModel } from "./hub/index.js";
export * from "./index.js";
export { loadCheckpoint } from "./load.js";
export { type FolderFormat, loadTraining, type SaveOptions, saveCheckpoint, type TrainingState } from "./save.js";
