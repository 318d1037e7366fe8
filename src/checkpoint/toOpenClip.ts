/**
 * @file Writes open_clip's `open_clip_config.json`: the inverse of `openClip.ts`, in as few words as open_clip's defaults
 * allow. What open_clip cannot say is found by reading the result back.
 */
import type { Activation, ClipConfig, TextConfig, TransformerConfig, VitConfig } from "../clip/index.js";
import type { Tokenizer } from "../tokenizer/index.js";
import type { Checkpoint } from "./checkpoint.js";
import { cannotExpress, requireExpressed } from "./express.js";
import { additionNames, additions, fromModelCfg } from "./openClip.js";
import { toPreprocessCfg } from "./preprocessCfg.js";
import { isSiglip, timmName } from "./siglip.js";

/** The whole `open_clip_config.json`. @throws DiptychError `CannotExpress` for what open_clip's options cannot say. */
export function toOpenClipConfig({
  config,
  preprocess,
  tokenizer,
}: Pick<Checkpoint, "config" | "preprocess" | "tokenizer">): object {
  const { embedSize, activation, image, text, logitBias } = config;
  const textActivation = text.activation ?? activation;
  const model_cfg = {
    embed_dim: embedSize,
    ...(textActivation === "quick_gelu" && { quick_gelu: true }),
    ...(logitBias && { init_logit_bias: -10 }),
    ...((isSiglip(config) || text.classToken || text.projection) && { custom_text: true }),
    vision_cfg: image.kind === "resnet" ? resnetCfg(image) : vitCfg(image, activation),
    text_cfg: { ...textCfg(text, textActivation), ...tokenizerCfg(tokenizer) },
  };
  requireExpressed(config, () => fromModelCfg(model_cfg, "open_clip_config.json"), "open_clip's config");
  return { model_cfg, preprocess_cfg: toPreprocessCfg(preprocess) };
}

function timmCfg(image: VitConfig, activation: Activation) {
  const name = timmName(image, activation);
  if (!name) {
    throw cannotExpress(
      `open_clip knows SigLIP's picture tower in timm's sizes, and none is ${image.width} wide with patches of ${image.patchSize}, pictures of ${image.imageSize} and activation ${activation}.`,
    );
  }
  return { image_size: image.imageSize, timm_model_name: name, timm_pool: "map", timm_proj: "none" };
}

const resnetCfg = ({ imageSize, layers, width, heads }: Extract<ClipConfig["image"], { kind: "resnet" }>) => ({
  image_size: imageSize,
  layers,
  width,
  head_width: Math.trunc((width * 32) / heads),
  patch_size: null,
});

const vitCfg = (image: VitConfig, activation: Activation) =>
  image.attentionPool?.kind === "probe" ? timmCfg(image, activation) : plainVitCfg(image, activation);

const plainVitCfg = (image: VitConfig, activation: Activation) => ({
  image_size: image.imageSize,
  patch_size: image.patchSize,
  ...blocksCfg(image, activation),
  head_width: Math.trunc(image.width / image.heads),
  ...(image.preNorm === false && { no_ln_pre: true }),
  ...(image.attentionPool?.kind === "queries" && {
    attentional_pool: true,
    attn_pooler_queries: image.attentionPool.queries,
    attn_pooler_heads: image.attentionPool.heads,
  }),
  ...(image.pool === "average" && { pool_type: "avg" }),
  ...(image.normAfterPool && { final_ln_after_pool: true }),
});

const textCfg = (text: TextConfig, activation: Activation) => ({
  context_length: text.contextLength,
  vocab_size: text.vocabularySize,
  ...blocksCfg(text, activation),
  heads: text.heads,
  ...(text.causal === false && { no_causal_mask: true }),
  ...(text.padId && { pad_id: text.padId }),
  ...(text.classToken && { embed_cls: true }),
  ...(typeof text.pool === "object" && { pool_type: "eos", eos_id: text.pool.id }),
  ...((text.pool === "first" || text.pool === "last") && { pool_type: text.pool }),
  ...(text.projection === "linear" && { proj_bias: true }),
  ...(text.projection === "none" && { proj_type: "none" }),
});

const blocksCfg = (config: TransformerConfig, activation: Activation) => ({
  width: config.width,
  layers: config.layers,
  mlp_ratio: ratio(config),
  ...(config.epsilon !== undefined && { norm_kwargs: { eps: config.epsilon } }),
  ...(activation === "gelu_tanh" && { act_kwargs: { approximate: "tanh" } }),
  ...(config.layerScale && { ls_init_value: 1e-4 }),
  ...Object.fromEntries(
    additionNames.filter((name) => config.additions?.includes(additions[name])).map((name) => [name, true]),
  ),
});

/** open_clip takes any name here for "the tokenizer files beside this config" when it opens a folder. */
function tokenizerCfg(tokenizer: Tokenizer | null): object {
  if (!tokenizer) return {};
  const { kind, clean } = tokenizer;
  const usual = kind === "json" ? "whitespace" : "lower";
  const settings = {
    ...(clean !== usual && clean !== "huggingface" && { clean }),
    ...(kind === "json" && tokenizer.endsWithZero && { strip_sep_token: true }),
  };
  return {
    ...(kind === "json" && { hf_tokenizer_name: "." }),
    ...(Object.keys(settings).length > 0 && { tokenizer_kwargs: settings }),
  };
}

/** open_clip computes the width as `int(width * ratio)`: a quotient that falls short by rounding is raised a little. */
function ratio({ width, mlpWidth }: TransformerConfig): number {
  const exact = mlpWidth / width;
  return Math.trunc(width * exact) === mlpWidth ? exact : (mlpWidth + 0.25) / width;
}
