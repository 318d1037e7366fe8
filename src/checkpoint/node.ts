/** @file The room's face where there is a file system. */
export { readSafetensors, replaceFile, replaceFolder, writeSafetensors } from "./files.js";
export * from "./index.js";
export { type LoadOptions, loadCheckpoint } from "./load.js";
export { type FolderFormat, loadTraining, type SaveOptions, saveCheckpoint, type TrainingState } from "./save.js";
