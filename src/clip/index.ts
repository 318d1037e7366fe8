/** @file What a CLIP is: its configuration, its towers as functions from tensors to tensors, its loss, its parameters. */
export {
  type Activation,
  activationSchema,
  type ClipConfig,
  clipSchema,
  type TextConfig,
  textSchema,
  type VitConfig,
  vitSchema,
} from "./config.js";
export { contrastiveLoss, l2Normalise, similarity } from "./contrastive.js";
export { initialise } from "./initialise.js";
export { attention, layerNorm, linear, type TransformerConfig, transformer } from "./layers.js";
export { contrastiveModel, encodeImage, encodeText, imageEncoder, parameterTable, textEncoder } from "./model.js";
export { Parameters } from "./parameters.js";
export { type PresetName, presets } from "./presets.js";
