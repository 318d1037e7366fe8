/** @file A CLIP as graphs: the two encoders, the loss, and the table of its parameters. */
import { concat, type Dim, input, slice, type Tensor } from "../graph/index.js";
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

/**
 * The whole model on B pairs: inputs `pixels`, `ids`, `group`; everything that training and its tests ask for.
 * @param imagesAtATime the picture tower runs on so many pictures after another, so that what passes from one operator
 *   to the next stays in the cache; the values are those of one run on all
 */
export function contrastiveModel(config: ClipConfig, batch: Dim = "B", length: Dim = "L", imagesAtATime?: number) {
  const parameters = new Parameters();
  const pixels = pixelsInput(config, batch);
  const imageFeatures = concat(
    portions(pixels, imagesAtATime).map((some) => encodeImage(config, parameters, some)),
    0,
  );
  const textFeatures = encodeText(config, parameters, input("ids", [batch, length], "int32"));
  const logits = similarity(imageFeatures, textFeatures, parameters.get("logit_scale", []));
  const loss = contrastiveLoss(logits, input("group", [batch], "int32"));
  return { parameters: parameters.all(), imageFeatures, textFeatures, logits, loss };
}

/** `x` cut along its first axis into pieces of `size`; whole where its length is not known. */
function portions(x: Tensor, size: number | undefined): Tensor[] {
  const [length] = x.shape;
  if (size === undefined || typeof length !== "number") return [x];
  return Array.from({ length: Math.ceil(length / size) }, (_, i) =>
    slice(x, 0, i * size, Math.min((i + 1) * size, length)),
  );
}

/** Name and shape of every parameter, in the order of the names. */
export function parameterTable(
  config: ClipConfig,
): readonly { readonly name: string; readonly shape: readonly number[] }[] {
  return [...contrastiveModel(config).parameters]
    .map(([name, tensor]) => ({ name, shape: tensor.shape as readonly number[] }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
