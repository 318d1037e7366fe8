/** @file Checkpoint formats without a platform: what a checkpoint is, and its parsers over bytes that are read by range. */
export type { Checkpoint, Parameter } from "./checkpoint.js";
export { type Heads, inferConfig } from "./infer.js";
export { knownKeys, parseJson } from "./json.js";
export { parseSafetensors, type SafetensorsOptions, safetensorsBytes, type WrittenType } from "./safetensors.js";
export { type ByteSource, memorySource } from "./source.js";
export { type NamedTensor, readTensor, type StorageType, type StoredTensor } from "./storage.js";
