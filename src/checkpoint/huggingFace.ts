/**
 * @file The JSON files of a Hugging Face CLIP folder: `config.json`, `preprocessor_config.json`, and what a processor
 * and a tokenizer need beside them, read and written.
 * Follows transformers' `CLIPConfig` and `CLIPImageProcessor` with their defaults, and the oldest files on the hub:
 * `text_config_dict` wins over `text_config`, and end-of-text id 2 means "pool at the largest id".
 */
import { z } from "zod";
import type { Activation, ClipConfig } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import type { PreprocessConfig } from "../image/index.js";
import { checkJson } from "./json.js";

const size = z.number().int().positive();

const activationNames: Readonly<Record<string, Activation>> = {
  quick_gelu: "quick_gelu",
  gelu: "gelu",
  gelu_new: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
};

const towerFields = {
  hidden_act: z.string().default("quick_gelu"),
  layer_norm_eps: z.number().default(1e-5),
};

const textSchema = z.object({
  vocab_size: size.default(49408),
  hidden_size: size.default(512),
  intermediate_size: size.default(2048),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(8),
  max_position_embeddings: size.default(77),
  eos_token_id: z.number().int().nullable().default(49407),
  ...towerFields,
});

const visionSchema = z.object({
  hidden_size: size.default(768),
  intermediate_size: size.default(3072),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(12),
  num_channels: size.default(3),
  image_size: size.default(224),
  patch_size: size.default(32),
  ...towerFields,
});

const section = z.record(z.string(), z.unknown()).nullish();
const configSchema = z.object({
  model_type: z.string(),
  projection_dim: size.default(512),
  text_config: section,
  text_config_dict: section,
  vision_config: section,
  vision_config_dict: section,
});

/** transformers' `config.json` as a config. @throws DiptychError `UnsupportedModel`. */
export function fromHuggingFaceConfig(json: unknown, where: string): ClipConfig {
  const config = checkJson(configSchema, json, where);
  if (config.model_type !== "clip") throw unsupported(where, "model_type", config.model_type);
  const text = checkJson(textSchema, { ...config.text_config, ...config.text_config_dict }, `${where}, text_config`);
  const vision = checkJson(
    visionSchema,
    { ...config.vision_config, ...config.vision_config_dict },
    `${where}, vision_config`,
  );
  const activation = activationNames[text.hidden_act];
  if (!activation) throw unsupported(where, "hidden_act", text.hidden_act);
  if (vision.hidden_act !== text.hidden_act) throw unsupported(where, "vision_config.hidden_act", vision.hidden_act);
  for (const eps of [text.layer_norm_eps, vision.layer_norm_eps]) {
    if (eps !== 1e-5) throw unsupported(where, "layer_norm_eps", eps);
  }
  if (vision.num_channels !== 3) throw unsupported(where, "num_channels", vision.num_channels);
  const end = text.eos_token_id;
  if (end !== null && end !== 2 && end !== text.vocab_size - 1) throw unsupported(where, "eos_token_id", end);
  return {
    embedSize: config.projection_dim,
    activation,
    image: {
      kind: "vit",
      imageSize: vision.image_size,
      patchSize: vision.patch_size,
      width: vision.hidden_size,
      layers: vision.num_hidden_layers,
      heads: vision.num_attention_heads,
      mlpWidth: vision.intermediate_size,
    },
    text: {
      contextLength: text.max_position_embeddings,
      vocabularySize: text.vocab_size,
      width: text.hidden_size,
      layers: text.num_hidden_layers,
      heads: text.num_attention_heads,
      mlpWidth: text.intermediate_size,
    },
  };
}

const unsupported = (where: string, key: string, value: unknown) =>
  new DiptychError(
    "UnsupportedModel",
    `${where} sets ${key} to ${JSON.stringify(value)}, which Diptych does not build.`,
    "Use a CLIP with a plain Vision Transformer and text Transformer.",
  );

export function toHuggingFaceConfig({ embedSize, activation, image, text }: ClipConfig): object {
  if (image.kind !== "vit") {
    throw new DiptychError("CannotExpress", "Hugging Face's CLIP has no ResNet.", "Save in another format.");
  }
  const hidden_act = activation === "gelu_tanh" ? "gelu_pytorch_tanh" : activation;
  return {
    architectures: ["CLIPModel"],
    model_type: "clip",
    projection_dim: embedSize,
    logit_scale_init_value: 2.6592,
    text_config: {
      model_type: "clip_text_model",
      vocab_size: text.vocabularySize,
      hidden_size: text.width,
      intermediate_size: text.mlpWidth,
      projection_dim: embedSize,
      num_hidden_layers: text.layers,
      num_attention_heads: text.heads,
      max_position_embeddings: text.contextLength,
      hidden_act,
      layer_norm_eps: 1e-5,
      pad_token_id: 1,
      bos_token_id: text.vocabularySize - 2,
      eos_token_id: text.vocabularySize - 1,
    },
    vision_config: {
      model_type: "clip_vision_model",
      hidden_size: image.width,
      intermediate_size: image.mlpWidth,
      projection_dim: embedSize,
      num_hidden_layers: image.layers,
      num_attention_heads: image.heads,
      num_channels: 3,
      image_size: image.imageSize,
      patch_size: image.patchSize,
      hidden_act,
      layer_norm_eps: 1e-5,
    },
  };
}

const edges = z.union([
  size,
  z.object({ shortest_edge: size }).transform(({ shortest_edge }) => shortest_edge),
  z.object({ height: size, width: size }).transform(({ height, width }): [number, number] => [height, width]),
]);
const triple = z.tuple([z.number(), z.number(), z.number()]);
const on = z.literal(true).default(true);

const preprocessorSchema = z.object({
  do_resize: on,
  do_rescale: on,
  do_normalize: on,
  do_center_crop: z.boolean().default(true),
  size: edges.optional(),
  crop_size: edges.optional(),
  resample: z.union([z.literal(2), z.literal(3)]).default(3),
  rescale_factor: z
    .number()
    .refine((factor) => Math.abs(factor * 255 - 1) < 1e-6, "only 1/255 is known")
    .default(1 / 255),
  image_mean: triple,
  image_std: triple,
});

/** `preprocessor_config.json` (or `image_processor` in `processor_config.json`); sizes default to the model's. */
export function fromPreprocessor(json: unknown, imageSize: PreprocessConfig["size"], where: string): PreprocessConfig {
  const given = checkJson(preprocessorSchema, json, where);
  const resized = given.size ?? imageSize;
  const crop = given.do_center_crop ? (given.crop_size ?? resized) : resized;
  const side = (edge: number | readonly number[]) => (typeof edge === "number" ? [edge, edge] : edge);
  const squash = Array.isArray(resized);
  if (side(crop).join() !== side(resized).join() || (!squash && !given.do_center_crop)) {
    throw unsupported(where, "crop_size", given.do_center_crop ? crop : null);
  }
  const [height, width] = side(crop);
  return {
    size: height === width ? height! : [height!, width!],
    mean: given.image_mean,
    std: given.image_std,
    interpolation: given.resample === 2 ? "bilinear" : "bicubic",
    resize: squash ? "squash" : "shortest",
    fill: 0,
    convention: "transformers",
  };
}

/** @throws DiptychError `CannotExpress` for what transformers' CLIP processor does not do. */
export function toPreprocessor(config: PreprocessConfig): object {
  const [height, width] = typeof config.size === "number" ? [config.size, config.size] : config.size;
  if (config.resize === "longest" || (config.resize === "shortest" && height !== width)) {
    throw new DiptychError(
      "CannotExpress",
      `Hugging Face's CLIP processor cannot make the ${config.resize} side fit ${height}×${width}.`,
      "Save in another format.",
    );
  }
  return {
    image_processor_type: "CLIPImageProcessor",
    feature_extractor_type: "CLIPFeatureExtractor", // what transformers.js looks for
    do_convert_rgb: true,
    do_resize: true,
    size: config.resize === "squash" ? { height, width } : { shortest_edge: Math.min(height, width) },
    resample: config.interpolation === "bicubic" ? 3 : 2,
    do_center_crop: config.resize === "shortest",
    crop_size: { height, width },
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: config.mean,
    image_std: config.std,
  };
}
