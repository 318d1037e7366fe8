/**
 * @file The door `diptych`: everything that needs no platform. `diptych/node` adds files and native kernels,
 * `diptych/browser` the browser's runtime.
 */
export {
  type Checkpoint,
  inferConfig,
  memorySource,
  parseSafetensors,
  readTensor,
  safetensorsBytes,
} from "./checkpoint/index.js";
export { type Activation, type ClipConfig, type PresetName, parameterTable, presets } from "./clip/index.js";
export { DiptychError } from "./errors.js";
export {
  cropPicture,
  normalise,
  openaiPreprocess,
  type Picture,
  type PictureMode,
  type PreprocessConfig,
} from "./image/index.js";
export { type CurvesFigure, curvesSvg, type SimilarityFigure, similarityMatrixSvg } from "./report/index.js";
export type { Program, Runtime, TensorData } from "./runtime/index.js";
export * from "./tasks/index.js";
export {
  cleanText,
  createTokenizer,
  parseMerges,
  readTokenizerFiles,
  type Tokenizer,
  tokenize,
  trainMerges,
} from "./tokenizer/index.js";
