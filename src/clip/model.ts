/** @file A CLIP as graphs: the two encoders, the loss, and the table of its parameters. */
import { type Dim, input, type Tensor } from "../graph/index.js";
import type { ClipConfig } from "./config.js";
import { contrastiveLoss, similarity } from "./contrastive.js";
import { Parameters } from "./parameters.js";
import { textTransformer } from "./textTransformer.js";
import { visionTransformer } from "./visionTransformer.js";

/** Normalised pixels `[B, 3, H, W]` → `[B, E]`, before L2 normalisation. */
export const encodeImage = (config: ClipConfig, p: Parameters, pixels: Tensor): Tensor =>
  visionTransformer(config.image, config.activation, config.embedSize, p.at("visual"), pixels);

/** Ids int32 `[B, L]` → `[B, E]`, before L2 normalisation. */
export const encodeText = (config: ClipConfig, p: Parameters, ids: Tensor): Tensor =>
  textTransformer(config.text, config.activation, config.embedSize, p, ids);

const pixelsInput = ({ image: { imageSize } }: ClipConfig, batch: Dim) =>
  input("pixels", [batch, 3, imageSize, imageSize]);

/** The picture tower as a graph: input `pixels`, output `image_features`. */
export const imageEncoder = (config: ClipConfig, batch: Dim = "B") => ({
  image_features: encodeImage(config, new Parameters(), pixelsInput(config, batch)),
});

/** The text tower as a graph: input `ids`, output `text_features`. */
export const textEncoder = (config: ClipConfig, batch: Dim = "B", length: Dim = "L") => ({
  text_features: encodeText(config, new Parameters(), input("ids", [batch, length], "int32")),
});

/** The whole model on B pairs: inputs `pixels`, `ids`, `group`; everything that training and its tests ask for. */
export function contrastiveModel(config: ClipConfig, batch: Dim = "B", length: Dim = "L") {
  const parameters = new Parameters();
  const imageFeatures = encodeImage(config, parameters, pixelsInput(config, batch));
  const textFeatures = encodeText(config, parameters, input("ids", [batch, length], "int32"));
  const logits = similarity(imageFeatures, textFeatures, parameters.get("logit_scale", []));
  const loss = contrastiveLoss(logits, input("group", [batch], "int32"));
  return { parameters: parameters.all(), imageFeatures, textFeatures, logits, loss };
}

/** Name and shape of every parameter, in the order of the names. */
export function parameterTable(
  config: ClipConfig,
): readonly { readonly name: string; readonly shape: readonly number[] }[] {
  return [...contrastiveModel(config).parameters]
    .map(([name, tensor]) => ({ name, shape: tensor.shape as readonly number[] }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
