/**
 * @file `config.json` of a Hugging Face folder, read and written. Follows transformers' `CLIPConfig` and `SiglipConfig`
 * with their defaults, and the oldest files on the hub: `text_config_dict` wins over `text_config`, and end-of-text id 2
 * means "pool at the largest id". SigLIP 2 of fixed resolution is a `SiglipConfig` too.
 */
import { z } from "zod";
import type { Activation, ClipConfig, TextConfig, TransformerConfig } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import { cannotExpress, requireExpressed } from "./express.js";
import { checkJson } from "./json.js";
import { isSiglip, siglipImage, siglipText } from "./siglip.js";

const size = z.number().int().positive();
const id = z.number().int().nonnegative();

const activationNames: Readonly<Record<string, Activation>> = {
  quick_gelu: "quick_gelu",
  gelu: "gelu",
  gelu_new: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
};

const textFields = z.object({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size.default(12),
  num_attention_heads: size,
  max_position_embeddings: size,
  hidden_act: z.string(),
  layer_norm_eps: z.number(),
  eos_token_id: id.nullable().default(49407),
  pad_token_id: id.nullable().default(1),
  /** SigLIP: of the linear map behind the text tower; its width unless given. */
  projection_size: size.optional(),
});

const visionFields = z.object({
  hidden_size: size.default(768),
  intermediate_size: size.default(3072),
  num_hidden_layers: size.default(12),
  num_attention_heads: size.default(12),
  num_channels: z.literal(3).default(3),
  image_size: size.default(224),
  patch_size: size,
  hidden_act: z.string(),
  layer_norm_eps: z.number(),
  vision_use_head: z.literal(true).default(true),
});

/** What a file leaves out, by `model_type`. */
const defaults = {
  clip: {
    text: {
      ...{ vocab_size: 49408, hidden_size: 512, intermediate_size: 2048, num_attention_heads: 8 },
      ...{ max_position_embeddings: 77, hidden_act: "quick_gelu", layer_norm_eps: 1e-5 },
    },
    vision: { patch_size: 32, hidden_act: "quick_gelu", layer_norm_eps: 1e-5 },
  },
  siglip: {
    text: {
      ...{ vocab_size: 32000, hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 },
      ...{ max_position_embeddings: 64, hidden_act: "gelu_pytorch_tanh", layer_norm_eps: 1e-6 },
    },
    vision: { patch_size: 16, hidden_act: "gelu_pytorch_tanh", layer_norm_eps: 1e-6 },
  },
} as const;

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
  const { model_type: type } = config;
  if (type !== "clip" && type !== "siglip") throw unsupported(where, "model_type", type);
  const text = checkJson(
    textFields,
    { ...defaults[type].text, ...config.text_config, ...config.text_config_dict },
    `${where}, text_config`,
  );
  const vision = checkJson(
    visionFields,
    { ...defaults[type].vision, ...config.vision_config, ...config.vision_config_dict },
    `${where}, vision_config`,
  );
  const activation = activationOf(vision.hidden_act, where);
  const textActivation = activationOf(text.hidden_act, where);
  const blocksOf = (tower: typeof text | typeof vision) => ({
    width: tower.hidden_size,
    layers: tower.num_hidden_layers,
    heads: tower.num_attention_heads,
    mlpWidth: tower.intermediate_size,
    ...(tower.layer_norm_eps !== 1e-5 && { epsilon: tower.layer_norm_eps }),
  });
  const textTower: TextConfig = {
    contextLength: text.max_position_embeddings,
    vocabularySize: text.vocab_size,
    ...blocksOf(text),
    ...(textActivation !== activation && { activation: textActivation }),
  };
  if (type === "siglip") {
    const embedSize = text.projection_size ?? text.hidden_size;
    if (embedSize !== vision.hidden_size) throw unsupported(where, "text_config.projection_size", embedSize);
    const image = {
      ...siglipImage(vision.image_size, vision.patch_size, blocksOf(vision)),
      epsilon: vision.layer_norm_eps,
    };
    const padded = { ...siglipText(textTower), epsilon: text.layer_norm_eps, padId: text.pad_token_id ?? 0 };
    return { embedSize, activation, image, text: padded, logitBias: true };
  }
  const end = text.eos_token_id;
  const largest = end === null || end === 2 || end === text.vocab_size - 1;
  return {
    embedSize: config.projection_dim,
    activation,
    image: { kind: "vit", imageSize: vision.image_size, patchSize: vision.patch_size, ...blocksOf(vision) },
    text: { ...textTower, ...(!largest && { pool: { id: end } }) },
  };
}

function activationOf(name: string, where: string): Activation {
  const activation = Object.hasOwn(activationNames, name) && activationNames[name];
  if (!activation) throw unsupported(where, "hidden_act", name);
  return activation;
}

const unsupported = (where: string, key: string, value: unknown) =>
  new DiptychError(
    "UnsupportedModel",
    `${where} sets ${key} to ${JSON.stringify(value)}, which Diptych does not build.`,
    "Use a CLIP or a SigLIP of fixed resolution.",
  );

/** @throws DiptychError `CannotExpress` for what neither transformers' CLIP nor its SigLIP can be. */
export function toHuggingFaceConfig(config: ClipConfig): object {
  const { embedSize, activation, image, text } = config;
  if (image.kind === "resnet") {
    throw cannotExpress("Hugging Face's CLIP has no ResNet.");
  }
  const type = isSiglip(config) ? "siglip" : "clip";
  const projection = type === "clip" ? { projection_dim: embedSize } : {};
  const json = {
    architectures: [type === "clip" ? "CLIPModel" : "SiglipModel"],
    model_type: type,
    ...projection,
    ...(type === "clip" && { logit_scale_init_value: 2.6592 }),
    text_config: {
      model_type: `${type}_text_model`,
      vocab_size: text.vocabularySize,
      max_position_embeddings: text.contextLength,
      ...projection,
      ...(type === "siglip" && { projection_size: embedSize }),
      ...blocks(text, text.activation ?? activation),
      ...(type === "clip" ? clipIds(text) : { pad_token_id: text.padId ?? 1, bos_token_id: null, eos_token_id: null }),
    },
    vision_config: {
      model_type: `${type}_vision_model`,
      num_channels: 3,
      image_size: image.imageSize,
      patch_size: image.patchSize,
      ...projection,
      ...blocks(image, activation),
    },
  };
  const readBack = () => fromHuggingFaceConfig(json, "config.json");
  requireExpressed(config, readBack, `Hugging Face's ${type === "clip" ? "CLIPConfig" : "SiglipConfig"}`);
  return json;
}

const blocks = ({ width, mlpWidth, layers, heads, epsilon = 1e-5 }: TransformerConfig, activation: Activation) => ({
  hidden_size: width,
  intermediate_size: mlpWidth,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  hidden_act: activation === "gelu_tanh" ? "gelu_pytorch_tanh" : activation,
  layer_norm_eps: epsilon,
});

/** As OpenAI's vocabulary ends; the model pools at the first `eos_token_id`. */
const clipIds = ({ vocabularySize, pool }: TextConfig) => ({
  pad_token_id: 1,
  bos_token_id: vocabularySize - 2,
  eos_token_id: typeof pool === "object" ? pool.id : vocabularySize - 1,
});
