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
export { contrastiveLoss, crossEntropy, l2Normalise, losses, sigmoidLoss, similarity } from "./contrastive.js";
export { initialise } from "./initialise.js";
export { layerNorm, linear, transformer } from "./layers.js";
export { isAdapter, type Lora, loraSchema, mergeAdapters } from "./lora.js";
export {
  contrastiveModel,
  encodeImage,
  encodeText,
  imageEncoder,
  type ModelOptions,
  type ParameterSpec,
  parameterTable,
  textEncoder,
} from "./model.js";
export { Parameters, type ParametersOptions } from "./parameters.js";
export { type Place, placeOf, topLayers } from "./place.js";
export { type PresetName, presets } from "./presets.js";
