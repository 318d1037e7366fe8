/** @file The door `diptych/node`: all of `diptych`, and what needs files, threads or native kernels. */

export {
  type HubOptions,
  loadCheckpoint,
  readSafetensors,
  resolveModel,
  saveCheckpoint,
  writeSafetensors,
} from "./checkpoint/node.js";
export { openSource, type Source, type SourceSpec } from "./data/index.js";
export { createPicturePool, decodePicture, writePng } from "./image/node.js";
export * from "./index.js";
export { type NodeRuntimeOptions, nodeRuntime } from "./runtime/node.js";
export { type LoadClipOptions, loadClip } from "./tasks/node.js";
export { loadClipTokenizer } from "./tokenizer/node.js";
