/**
 * @file open_clip's `open_clip_config.json`: `model_cfg` and `preprocess_cfg`, read and written.
 * Follows open_clip 3.3 (`model.py`: CLIPVisionCfg, CLIPTextCfg and their defaults; `transform.py`: PreprocessCfg).
 * Options that would build another model are refused by name, unless they are set to what Diptych builds anyway.
 */
import { z } from "zod";
import type { ClipConfig } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import { openaiPreprocess, type PreprocessConfig } from "../image/index.js";
import { checkJson } from "./json.js";

const size = z.number().int().positive();
const triple = z.tuple([z.number(), z.number(), z.number()]);

const visionSchema = z.object({
  image_size: size.default(224),
  patch_size: size.default(16),
  width: size.default(768),
  layers: size.default(12),
  head_width: size.default(64),
  mlp_ratio: z.number().positive().default(4),
});

const textSchema = z.object({
  context_length: size.default(77),
  vocab_size: size.default(49408),
  width: size.default(512),
  layers: size.default(12),
  heads: size.default(8),
  mlp_ratio: z.number().positive().default(4),
});

const modelSchema = z.object({
  embed_dim: size,
  quick_gelu: z.boolean().default(false),
  vision_cfg: z.record(z.string(), z.unknown()),
  text_cfg: z.record(z.string(), z.unknown()),
});

const preprocessCfgSchema = z.object({
  mode: z.literal("RGB").default("RGB"),
  mean: triple.optional(),
  std: triple.optional(),
  interpolation: z.enum(["bicubic", "bilinear"]).default("bicubic"),
  resize_mode: z.enum(["shortest", "squash", "longest"]).default("shortest"),
  fill_color: z.number().default(0),
});

export const openClipSchema = z.object({
  model_cfg: z.record(z.string(), z.unknown()),
  preprocess_cfg: z.record(z.string(), z.unknown()).default({}),
});

/** Options beyond the schemas that say what Diptych builds; `*` stands for any value: it changes no forward pass. */
const harmless: Readonly<Record<"model" | "vision" | "text", Readonly<Record<string, unknown>>>> = {
  model: { custom_text: "*", init_logit_scale: "*", init_logit_bias: null, output_dict: "*", cast_dtype: "*" },
  vision: {
    timm_model_name: null,
    timm_model_pretrained: "*",
    timm_pool: "*",
    timm_proj: "*",
    timm_proj_bias: "*",
    timm_drop: "*",
    timm_drop_path: "*",
    pool_type: "tok",
    ls_init_value: null,
    patch_dropout: "*", // acts in training only
    output_tokens: "*",
    pos_embed_type: "learnable",
  },
  text: {
    pool_type: "argmax",
    proj_type: "linear",
    pad_id: "*",
    ls_init_value: null,
    hf_proj_type: "*",
    hf_pooler_type: "*",
  },
};

/** open_clip's `model_cfg` as a config. @throws DiptychError `UnsupportedModel` naming what Diptych does not build. */
export function fromModelCfg(modelCfg: unknown, where: string): ClipConfig {
  const model = read(modelSchema, modelCfg, "model", `${where}, model_cfg`);
  if (Array.isArray(model.vision_cfg.layers))
    throw unsupported(`${where}, vision_cfg`, "layers", model.vision_cfg.layers);
  const vision = read(visionSchema, model.vision_cfg, "vision", `${where}, vision_cfg`);
  const text = read(textSchema, model.text_cfg, "text", `${where}, text_cfg`);
  return {
    embedSize: model.embed_dim,
    activation: model.quick_gelu ? "quick_gelu" : "gelu",
    image: {
      kind: "vit",
      imageSize: vision.image_size,
      patchSize: vision.patch_size,
      width: vision.width,
      layers: vision.layers,
      heads: Math.floor(vision.width / vision.head_width),
      mlpWidth: Math.trunc(vision.width * vision.mlp_ratio),
    },
    text: {
      contextLength: text.context_length,
      vocabularySize: text.vocab_size,
      width: text.width,
      layers: text.layers,
      heads: text.heads,
      mlpWidth: Math.trunc(text.width * text.mlp_ratio),
    },
  };
}

/** The fields of `schema`; any other must be harmless or unset. */
function read<S extends z.ZodObject>(
  schema: S,
  value: unknown,
  part: keyof typeof harmless,
  where: string,
): z.output<S> {
  const given = checkJson(z.record(z.string(), z.unknown()), value, where);
  for (const [key, setting] of Object.entries(given)) {
    if (key in schema.shape || setting === null || setting === false) continue;
    const neutral = harmless[part][key];
    if (neutral !== "*" && neutral !== setting) throw unsupported(where, key, setting);
  }
  return checkJson(schema, withoutNulls(given), where);
}

/** open_clip takes null for "the default". */
const withoutNulls = (given: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(given).filter(([, setting]) => setting !== null));

const unsupported = (where: string, key: string, value: unknown) =>
  new DiptychError(
    "UnsupportedModel",
    `${where} sets ${key} to ${JSON.stringify(value)}, a model that Diptych does not build.`,
    "Use a CLIP with a plain Vision Transformer and text Transformer.",
  );

/** open_clip's `preprocess_cfg`; the size is the model's, whatever it says. */
export function fromPreprocessCfg(
  preprocessCfg: Readonly<Record<string, unknown>>,
  imageSize: PreprocessConfig["size"],
  where: string,
): PreprocessConfig {
  const given = checkJson(preprocessCfgSchema, withoutNulls(preprocessCfg), where);
  const openai = openaiPreprocess(imageSize);
  return {
    ...openai,
    mean: given.mean ?? openai.mean,
    std: given.std ?? openai.std,
    interpolation: given.interpolation,
    resize: given.resize_mode,
    fill: given.fill_color,
  };
}

/** The whole `open_clip_config.json`. @throws DiptychError `CannotExpress` for what open_clip's options cannot say. */
export function toOpenClipConfig(
  { embedSize, activation, image, text }: ClipConfig,
  preprocess: PreprocessConfig,
): object {
  if (image.kind !== "vit") {
    throw new DiptychError("CannotExpress", "A ResNet is not written in this format yet.", "Save in another format.");
  }
  if (activation === "gelu_tanh" || image.width % image.heads !== 0) {
    throw new DiptychError(
      "CannotExpress",
      `open_clip's config has no way to say activation ${activation} with ${image.heads} heads in width ${image.width}.`,
      "Save in another format.",
    );
  }
  return {
    model_cfg: {
      embed_dim: embedSize,
      quick_gelu: activation === "quick_gelu",
      vision_cfg: {
        image_size: image.imageSize,
        patch_size: image.patchSize,
        width: image.width,
        layers: image.layers,
        head_width: image.width / image.heads,
        mlp_ratio: ratio(image),
      },
      text_cfg: {
        context_length: text.contextLength,
        vocab_size: text.vocabularySize,
        width: text.width,
        heads: text.heads,
        layers: text.layers,
        mlp_ratio: ratio(text),
      },
    },
    preprocess_cfg: {
      size: preprocess.size,
      mode: "RGB",
      mean: preprocess.mean,
      std: preprocess.std,
      interpolation: preprocess.interpolation,
      resize_mode: preprocess.resize,
      fill_color: preprocess.fill,
    },
  };
}

/** open_clip computes the width as `int(width * ratio)`: a quotient that falls short by rounding is raised a little. */
function ratio({ width, mlpWidth }: { readonly width: number; readonly mlpWidth: number }): number {
  const exact = mlpWidth / width;
  return Math.trunc(width * exact) === mlpWidth ? exact : (mlpWidth + 0.25) / width;
}
