/**
 * @file Reads `model_cfg` of open_clip's `open_clip_config.json`; `toOpenClip.ts` writes it, `preprocessCfg.ts` has its
 * other half. Follows open_clip 3.3 (`model.py`: CLIPVisionCfg, CLIPTextCfg and their defaults). Options that would build
 * another model are refused by name, unless they are set to what Diptych builds anyway.
 */
import { z } from "zod";
import type { Activation, ClipConfig, TextConfig, TransformerConfig, VitConfig } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import { checkJson, withoutNulls } from "./json.js";
import { siglipTower } from "./siglip.js";
import type { TokenizerSettings } from "./tokenizerFiles.js";

const size = z.number().int().positive();
const flag = z.boolean().default(false);

/** What both towers may vary in their blocks. */
const blockFields = {
  layers: size.default(12),
  mlp_ratio: z.number().positive().default(4),
  ls_init_value: z.number().optional(),
  norm_kwargs: z.strictObject({ eps: z.number().positive().optional() }).default({}),
  act_kwargs: z.strictObject({ approximate: z.enum(["none", "tanh"]).optional() }).default({}),
  qk_norm: flag,
  scale_heads: flag,
  scale_attn_inner: flag,
  scale_attn: flag,
  scale_fc: flag,
};

const visionSchema = z.object({
  ...blockFields,
  image_size: z.union([size, z.tuple([size, size])]).default(224),
  patch_size: size.default(16),
  width: size.default(768),
  layers: z.union([size, z.tuple([size, size, size, size])]).default(12),
  head_width: size.default(64),
  attentional_pool: flag,
  attn_pooler_queries: size.default(256),
  attn_pooler_heads: size.default(8),
  no_ln_pre: flag,
  final_ln_after_pool: flag,
  pool_type: z.enum(["tok", "avg"]).default("tok"),
  timm_model_name: z.string().optional(),
  timm_pool: z.string().optional(),
  timm_proj: z.string().optional(),
});

const textSchema = z.object({
  ...blockFields,
  context_length: size.default(77),
  vocab_size: size.default(49408),
  width: size.default(512),
  heads: size.default(8),
  embed_cls: flag,
  pad_id: z.number().int().nonnegative().default(0),
  eos_id: z.number().int().nonnegative().default(2),
  no_causal_mask: flag,
  pool_type: z.enum(["argmax", "first", "last", "eos"]).default("argmax"),
  proj_type: z.enum(["linear", "none"]).default("linear"),
  proj_bias: flag,
  hf_tokenizer_name: z.string().optional(),
  tokenizer_kwargs: z
    .object({ clean: z.enum(["lower", "whitespace", "canonicalize"]).optional(), strip_sep_token: flag })
    .optional(),
});

const modelSchema = z.object({
  embed_dim: size,
  quick_gelu: flag,
  init_logit_bias: z.number().optional(),
  vision_cfg: z.record(z.string(), z.unknown()),
  text_cfg: z.record(z.string(), z.unknown()),
});

export const openClipSchema = z.object({
  model_cfg: z.record(z.string(), z.unknown()),
  preprocess_cfg: z.record(z.string(), z.unknown()).default({}),
});

/** Options that change no forward pass, or only the training's or the captioner's. */
const harmless: Readonly<Record<"model" | "vision" | "text", readonly string[]>> = {
  model: ["custom_text", "init_logit_scale", "nonscalar_logit_scale", "output_dict", "cast_dtype", "multimodal_cfg"],
  vision: [
    ...["timm_model_pretrained", "timm_proj_bias", "timm_drop", "timm_drop_path", "patch_dropout", "output_tokens"],
    ...["block_type", "pos_embed_type"], // a fixed embedding is stored like a learned one
  ],
  text: ["final_ln_after_pool", "output_tokens", "block_type", "hf_proj_type", "hf_pooler_type", "tokenizer_mode"],
};

/** open_clip's names for the additions to a block. */
export const additions = {
  qk_norm: "queryKeyNorm",
  scale_heads: "headScale",
  scale_attn_inner: "innerNorm",
  scale_attn: "attentionNorm",
  scale_fc: "mlpNorm",
} as const satisfies Record<string, NonNullable<TransformerConfig["additions"]>[number]>;
export const additionNames = Object.keys(additions) as (keyof typeof additions)[];

type VisionCfg = z.output<typeof visionSchema>;
type TextCfg = z.output<typeof textSchema>;

/** open_clip's `model_cfg` as a config. @throws DiptychError `UnsupportedModel` naming what Diptych does not build. */
export function fromModelCfg(modelCfg: unknown, where: string): ClipConfig {
  const model = read(modelSchema, modelCfg, "model", `${where}, model_cfg`);
  const vision = read(visionSchema, model.vision_cfg, "vision", `${where}, vision_cfg`);
  const text = read(textSchema, model.text_cfg, "text", `${where}, text_cfg`);
  const { image, activation: imageActivation } = imageTower(vision, model, `${where}, vision_cfg`);
  const textActivation = activationOf(text, model.quick_gelu);
  const activation = imageActivation ?? textActivation;
  return {
    embedSize: model.embed_dim,
    activation,
    image,
    text: { ...textTower(text), ...(textActivation !== activation && { activation: textActivation }) },
    ...(model.init_logit_bias !== undefined && { logitBias: true }),
  };
}

/** How the text is to be cleaned and ended before the tokenizer that lies beside the weights. */
export function tokenizerOf(modelCfg: unknown, where: string): TokenizerSettings {
  const { text_cfg } = read(modelSchema, modelCfg, "model", `${where}, model_cfg`);
  const { hf_tokenizer_name, tokenizer_kwargs } = read(textSchema, text_cfg, "text", `${where}, text_cfg`);
  return {
    clean: tokenizer_kwargs?.clean ?? (hf_tokenizer_name === undefined ? "lower" : "whitespace"),
    ...(tokenizer_kwargs?.strip_sep_token && { endsWithZero: true }),
  };
}

/** The tower, and its activation where it has one (a ResNet's is always ReLU). */
function imageTower(
  vision: VisionCfg,
  { embed_dim, quick_gelu }: z.output<typeof modelSchema>,
  where: string,
): { readonly image: ClipConfig["image"]; readonly activation?: Activation } {
  const { width, layers, head_width, image_size, timm_model_name: timm } = vision;
  if (timm !== undefined) {
    const found = siglipTower(timm, image_size);
    if (!found) throw unsupported(where, "timm_model_name", timm);
    if (vision.timm_pool !== "map") throw unsupported(where, "timm_pool", vision.timm_pool ?? "avg");
    if (vision.timm_proj !== "none" || found.image.width !== embed_dim) {
      throw unsupported(where, "timm_proj", vision.timm_proj ?? "linear");
    }
    return found;
  }
  if (typeof layers !== "number") {
    if (typeof image_size !== "number") throw unsupported(where, "image_size", image_size);
    const heads = Math.floor((width * 32) / head_width);
    return { image: { kind: "resnet", imageSize: image_size, layers, width, heads } };
  }
  const image: VitConfig = {
    kind: "vit",
    imageSize: image_size,
    patchSize: vision.patch_size,
    ...blocks({ ...vision, layers }, Math.floor(width / head_width)),
    ...(vision.no_ln_pre && { preNorm: false }),
    ...(vision.attentional_pool && {
      attentionPool: { kind: "queries", queries: vision.attn_pooler_queries, heads: vision.attn_pooler_heads },
    }),
    ...(vision.pool_type === "avg" && { pool: "average" }),
    ...(vision.final_ln_after_pool && { normAfterPool: true }),
  };
  return { image, activation: activationOf(vision, quick_gelu) };
}

function textTower(text: TextCfg): TextConfig {
  const pools = { argmax: undefined, first: "first", last: "last", eos: { id: text.eos_id } } as const;
  const pool = text.embed_cls ? undefined : pools[text.pool_type]; // a class token is always the one
  return {
    contextLength: text.context_length,
    vocabularySize: text.vocab_size,
    ...blocks(text, text.heads),
    ...(text.no_causal_mask && { causal: false }),
    ...(text.pad_id !== 0 && { padId: text.pad_id }),
    ...(text.embed_cls && { classToken: true }),
    ...(pool && { pool }),
    ...(text.proj_type === "none" ? { projection: "none" } : text.proj_bias && { projection: "linear" }),
  };
}

function blocks(cfg: TextCfg | (VisionCfg & { readonly layers: number }), heads: number): TransformerConfig {
  const added = additionNames.filter((name) => cfg[name]).map((name) => additions[name]);
  return {
    width: cfg.width,
    layers: cfg.layers,
    heads,
    mlpWidth: Math.trunc(cfg.width * cfg.mlp_ratio),
    ...(cfg.norm_kwargs.eps !== undefined && { epsilon: cfg.norm_kwargs.eps }),
    ...(cfg.ls_init_value !== undefined && { layerScale: true }),
    ...(added.length > 0 && { additions: added }),
  };
}

const activationOf = ({ act_kwargs }: Pick<TextCfg, "act_kwargs">, quickGelu: boolean): Activation =>
  quickGelu ? "quick_gelu" : act_kwargs.approximate === "tanh" ? "gelu_tanh" : "gelu";

/** The fields of `schema`; any other must be harmless or unset. */
function read<S extends z.ZodObject>(
  schema: S,
  value: unknown,
  part: keyof typeof harmless,
  where: string,
): z.output<S> {
  const given = checkJson(z.record(z.string(), z.unknown()), value, where);
  for (const [key, setting] of Object.entries(given)) {
    if (key in schema.shape || harmless[part].includes(key) || setting === null || setting === false) continue;
    throw unsupported(where, key, setting);
  }
  return checkJson(schema, withoutNulls(given), where);
}

const unsupported = (where: string, key: string, value: unknown) =>
  new DiptychError(
    "UnsupportedModel",
    `${where} sets ${key} to ${JSON.stringify(value)}, a model that Diptych does not build.`,
    "Use a CLIP with a Vision Transformer, a ModifiedResNet or SigLIP's picture tower, and a text Transformer.",
  );
