/** @file A CLIP as graphs: the two encoders, the loss, and the table of its parameters. */
import { add, concat, type Dim, input, slice, type Tensor } from "../graph/index.js";
import { type ClipConfig, ignoresPadding, inputSides } from "./config.js";
import { batchLoss, l2Normalise, similarity } from "./contrastive.js";
import { clipObjective, type Objective } from "./loss.js";
import { modifiedResnet } from "./modifiedResnet.js";
import { Parameters, type ParametersOptions } from "./parameters.js";
import { textTransformer } from "./textTransformer.js";
import { visionTransformer } from "./visionTransformer.js";

/**
 * Normalised pixels `[B, 3, H, W]` → `[B, E]`, before L2 normalisation.
 * @param kept int32 `[B, K]`: the patches that a ViT looks at; all unless given
 */
export function encodeImage(
  { image, activation, embedSize }: ClipConfig,
  p: Parameters,
  pixels: Tensor,
  kept?: Tensor,
): Tensor {
  switch (image.kind) {
    case "vit":
      return visionTransformer(image, activation, embedSize, p.at("visual"), pixels, kept);
    case "resnet":
      return modifiedResnet(image, embedSize, p.at("visual"), pixels);
  }
}

/** Ids int32 or int64 `[B, L]` → `[B, E]`, before L2 normalisation. */
export const encodeText = ({ text, activation, embedSize }: ClipConfig, p: Parameters, ids: Tensor): Tensor =>
  textTransformer(text, text.activation ?? activation, embedSize, p, ids);

const pixelsInput = (config: ClipConfig, batch: Dim) => input("pixels", [batch, 3, ...inputSides(config)]);

/** Where padding matters, every text is as long as the context. */
const textLength = (config: ClipConfig): Dim => (ignoresPadding(config) ? "L" : config.text.contextLength);

/** The picture tower as a graph: input `pixels`, output `image_features`. */
export const imageEncoder = (config: ClipConfig, batch: Dim = "B") => ({
  image_features: encodeImage(config, Parameters.root(), pixelsInput(config, batch)),
});

/** The text tower as a graph: input `ids`, output `text_features`. */
export const textEncoder = (config: ClipConfig, batch: Dim = "B", length: Dim = textLength(config)) => ({
  text_features: encodeText(config, Parameters.root(), input("ids", [batch, length], "int32")),
});

export interface TowerOptions extends ParametersOptions {
  /** Pairs in the batch. */
  readonly batch?: Dim;
  /**
   * The picture tower runs on so many pictures after another, so that what passes from one operator to the next stays in
   * the cache; the values are those of one run on all. Not for a ResNet in training, whose statistics are the batch's.
   */
  readonly imagesAtATime?: number | undefined;
  /** A ViT looks at so many patches of each picture, which the input `patches` names; at all unless given. */
  readonly keptPatches?: number | undefined;
}

export interface ModelOptions extends TowerOptions {
  readonly length?: Dim;
  /**
   * The text tower runs on so many texts after another, inputs `ids 0`, `ids 1`, … in place of `ids`, each as long as its
   * own longest text: of texts in the order of their lengths, few tokens are padding. The batch must be a number.
   */
  readonly textsAtATime?: number | undefined;
  /** CLIP's loss unless given. A teacher's embeddings are the inputs `teacher_image` and `teacher_text`. */
  readonly objective?: Objective;
}

function imagesInPortions(config: ClipConfig, p: Parameters, options: TowerOptions): Tensor {
  const { batch = "B", imagesAtATime, keptPatches } = options;
  const kept =
    keptPatches === undefined ? [] : portions(input("patches", [batch, keptPatches], "int32"), imagesAtATime);
  const features = portions(pixelsInput(config, batch), imagesAtATime).map((some, i) =>
    encodeImage(config, p, some, kept[i]),
  );
  return concat(features, 0);
}

function textsInPortions(config: ClipConfig, p: Parameters, options: ModelOptions): Tensor {
  const { batch = "B", length = textLength(config), textsAtATime } = options;
  if (textsAtATime === undefined || typeof batch !== "number") {
    return encodeText(config, p, input("ids", [batch, length], "int32"));
  }
  const starts = Array.from({ length: Math.ceil(batch / textsAtATime) }, (_, i) => i * textsAtATime);
  const portion = (start: number, i: number): Tensor =>
    input(
      `ids ${i}`,
      [Math.min(textsAtATime, batch - start), typeof length === "number" ? length : `${length}${i}`],
      "int32",
    );
  return concat(
    starts.map((start, i) => encodeText(config, p, portion(start, i))),
    0,
  );
}

/** One tower in training: its parameters, and features of unit length `[B, E]`. */
export interface Tower {
  readonly parameters: Parameters;
  readonly features: Tensor;
}

/** Input `pixels`. */
export function imageTower(config: ClipConfig, options: TowerOptions): Tower {
  const parameters = Parameters.root(options);
  return { parameters, features: l2Normalise(imagesInPortions(config, parameters, options)) };
}

/** Input `ids`. */
export function textTower(config: ClipConfig, { batch = "B", ...options }: TowerOptions): Tower {
  const parameters = Parameters.root(options);
  const ids = input("ids", [batch, textLength(config)], "int32");
  return { parameters, features: l2Normalise(encodeText(config, parameters, ids)) };
}

/** The whole model on B pairs: inputs `pixels`, `ids`, `group`; everything that training and its tests ask for. */
export function contrastiveModel(config: ClipConfig, options: ModelOptions = {}) {
  const { batch = "B", objective = clipObjective } = options;
  const parameters = Parameters.root(options);
  const imageFeatures = imagesInPortions(config, parameters, options);
  const textFeatures = textsInPortions(config, parameters, options);
  const scaled = similarity(imageFeatures, textFeatures, parameters.get("logit_scale", []));
  const logits = config.logitBias ? add(scaled, parameters.get("logit_bias", [])) : scaled;
  const group = input("group", [batch], "int32");
  return {
    /** What is learned; `statistics` are the running averages, with their new values in training. */
    parameters: parameters.learned(),
    statistics: parameters.statistics(),
    stored: parameters.all(),
    imageFeatures,
    textFeatures,
    logits,
    loss: batchLoss({ imageFeatures, textFeatures, logits, group }, objective),
  };
}

/** `x` cut along its first axis into pieces of `size`; whole where its length is not known. */
function portions(x: Tensor, size: number | undefined): Tensor[] {
  const [length] = x.shape;
  if (size === undefined || typeof length !== "number") return [x];
  return Array.from({ length: Math.ceil(length / size) }, (_, i) =>
    slice(x, 0, i * size, Math.min((i + 1) * size, length)),
  );
}

/** One tensor of a checkpoint. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** false: a running average, measured in training rather than learned, or what is frozen. */
  readonly learned: boolean;
}

/** Every tensor of a checkpoint, or of a model with adapters, in the order of the names. */
export function parameterTable(
  config: ClipConfig,
  { lora, frozen }: Pick<ParametersOptions, "lora" | "frozen"> = {},
): readonly ParameterSpec[] {
  const { stored, parameters } = contrastiveModel(config, { lora, frozen });
  return [...stored]
    .map(([name, tensor]) => ({ name, shape: tensor.shape as readonly number[], learned: parameters.has(name) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
