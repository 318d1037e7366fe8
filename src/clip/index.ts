/** @file What a CLIP is: its configuration, its towers as functions from tensors to tensors, its loss, its parameters. */
export {
  type Activation,
  activationSchema,
  type ClipConfig,
  clipSchema,
  ignoresPadding,
  inputSides,
  type ResnetConfig,
  resnetSchema,
  type TextConfig,
  type TransformerConfig,
  textSchema,
  type VitConfig,
  vitSchema,
} from "./config.js";
export {
  batchLoss,
  contrastiveLoss,
  cosines,
  featureDistance,
  l2Normalise,
  samePairs,
  similarity,
} from "./contrastive.js";
export { initialise } from "./initialise.js";
export { layerNorm, linear, transformer } from "./layers.js";
export { isAdapter, type Lora, loraSchema, mergeAdapters } from "./lora.js";
export {
  crossEntropy,
  type Distillation,
  defaultLoss,
  distillationSchema,
  judge,
  type Loss,
  logSumExp,
  lossSchema,
  type Objective,
} from "./loss.js";
export {
  contrastiveModel,
  encodeImage,
  encodeText,
  imageEncoder,
  imageTower,
  type ModelOptions,
  type ParameterSpec,
  parameterTable,
  type Tower,
  textEncoder,
  textTower,
} from "./model.js";
export { Parameters, type ParametersOptions } from "./parameters.js";
export { patchCount } from "./patchDropout.js";
export { type Place, placeOf, topLayers } from "./place.js";
export { type PresetName, presets } from "./presets.js";
