/** @file open_clip's published configs, written out here in short, as configs of ours and back. */
import { describe, expect, test } from "vitest";
import { fromModelCfg } from "../../src/checkpoint/openClip.js";
import { toOpenClipConfig } from "../../src/checkpoint/toOpenClip.js";
import { type ClipConfig, parameterTable, presets } from "../../src/clip/index.js";
import { openaiPreprocess } from "../../src/image/index.js";

const siglipText = {
  ...{ context_length: 64, vocab_size: 32000, width: 768, heads: 12, layers: 12, no_causal_mask: true },
  ...{ proj_bias: true, pool_type: "last", norm_kwargs: { eps: 1e-6 }, hf_tokenizer_name: "timm/ViT-B-16-SigLIP" },
  tokenizer_kwargs: { clean: "canonicalize" },
};
const siglip = (timm_model_name: string, image_size: number, embed_dim: number, text: object) => ({
  embed_dim,
  init_logit_bias: -10,
  custom_text: true,
  vision_cfg: { image_size, timm_model_name, timm_model_pretrained: false, timm_pool: "map", timm_proj: "none" },
  text_cfg: { ...siglipText, ...text },
});
const tanh = { act_kwargs: { approximate: "tanh" } };
const clipText = { context_length: 77, vocab_size: 49408, width: 512, heads: 8, layers: 12 };
const coca = { ...clipText, context_length: 76 };

/** Name, config, parameters in millions (counted by open_clip 3.3 and timm 1.0), activation of both towers. */
const published: readonly (readonly [string, object, number, string])[] = [
  [
    "RN50",
    {
      embed_dim: 1024,
      vision_cfg: { image_size: 224, layers: [3, 4, 6, 3], width: 64, patch_size: null },
      text_cfg: clipText,
    },
    102.01,
    "gelu",
  ],
  ["ViT-B-16-SigLIP", siglip("vit_base_patch16_siglip_224", 224, 768, {}), 203.16, "gelu"],
  [
    "ViT-B-32-SigLIP2-256",
    siglip("vit_base_patch32_siglip_256", 256, 768, { vocab_size: 256000, ...tanh }),
    376.86,
    "gelu_tanh",
  ],
  [
    "ViT-SO400M-14-SigLIP",
    siglip("vit_so400m_patch14_siglip_224", 224, 1152, {
      ...{ context_length: 16, width: 1152, heads: 16, layers: 27, mlp_ratio: 3.7362 },
    }),
    877.36,
    "gelu",
  ],
  [
    "ViT-B-16-SigLIP2",
    siglip("vit_base_patch16_siglip_224", 224, 768, { vocab_size: 256000, ...tanh }),
    375.19,
    "gelu, gelu_tanh",
  ],
  [
    "ViT-SO400M-16-SigLIP-i18n-256",
    siglip("vit_so400m_patch16_siglip_256", 256, 1152, {
      ...{ vocab_size: 250000, width: 1152, heads: 16, layers: 27, mlp_ratio: 3.7362 },
      ...{ proj_bias: false, proj_type: "none" },
    }),
    1127.43,
    "gelu_tanh, gelu",
  ],
  [
    "ViT-gopt-16-SigLIP2-256",
    siglip("vit_giantopt_patch16_siglip_256", 256, 1536, {
      ...{ vocab_size: 256000, width: 1152, heads: 16, layers: 27, mlp_ratio: 3.7362, ...tanh },
    }),
    1871.39,
    "gelu_tanh",
  ],
  [
    "ViT-L-14-CLIPA",
    {
      embed_dim: 768,
      vision_cfg: {
        ...{ image_size: 224, layers: 24, width: 1024, patch_size: 14 },
        ...{ no_ln_pre: true, pool_type: "avg", final_ln_after_pool: true },
      },
      text_cfg: {
        ...{ context_length: 32, vocab_size: 32000, width: 768, heads: 12, layers: 12 },
        ...{ hf_tokenizer_name: "bert-base-uncased", tokenizer_kwargs: { strip_sep_token: true } },
        ...{ pool_type: "last", no_causal_mask: true },
      },
    },
    414.21,
    "gelu",
  ],
  [
    "coca_ViT-B-32",
    {
      embed_dim: 512,
      vision_cfg: {
        ...{ image_size: 224, layers: 12, width: 768, patch_size: 32 },
        ...{ attentional_pool: true, attn_pooler_heads: 8, output_tokens: true },
      },
      text_cfg: { ...coca, embed_cls: true, output_tokens: true },
      multimodal_cfg: { ...coca, attn_pooler_heads: 8 },
      custom_text: true,
    },
    152.59,
    "gelu",
  ],
  [
    "ViT-H-14-worldwide",
    {
      embed_dim: 1024,
      vision_cfg: { image_size: 224, layers: 32, width: 1280, head_width: 80, patch_size: 14 },
      text_cfg: {
        ...{ hf_tokenizer_name: "facebook/xlm-v-base", pool_type: "eos", eos_id: 2, context_length: 77 },
        ...{ vocab_size: 901629, width: 1024, heads: 16, layers: 24 },
      },
    },
    1858.78,
    "gelu",
  ],
];

const millions = (config: ClipConfig) =>
  parameterTable(config)
    .filter(({ learned }) => learned)
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1) / 1e6, 0);
const written = (config: ClipConfig) =>
  toOpenClipConfig({ config, preprocess: openaiPreprocess(224), tokenizer: null }) as { readonly model_cfg: object };

describe("a published config", () => {
  test.each(published)("%s: its size, its activations, and the same config after writing it", (_, cfg, size, acts) => {
    const config = fromModelCfg(cfg, "test");
    expect(millions(config)).toBeCloseTo(size, 2);
    expect([config.activation, config.text.activation].filter(Boolean).join(", ")).toBe(acts);
    expect(fromModelCfg(written(config).model_cfg, "test")).toEqual(config);
  });
});

describe("what open_clip cannot say is refused, naming it", () => {
  const small = presets["ViT-test"];
  test.each<[string, ClipConfig, string]>([
    ["a head width that does not divide", { ...small, image: { ...small.image, width: 24, heads: 5 } }, "image.heads"],
    ["QuickGELU in one tower only", { ...small, text: { ...small.text, activation: "gelu" } }, "activation"],
    [
      "pooling by another token than the class token",
      { ...small, text: { ...small.text, classToken: true, pool: "first" } },
      "text.pool",
    ],
  ])("%s", (_, config, field) => {
    expect(() => written(config)).toThrow(`cannot say ${field}`);
  });

  test("a SigLIP of a size that timm lacks", () => {
    const base = fromModelCfg(published[1]![1], "test");
    const image = { ...base.image, layers: 3 } as ClipConfig["image"];
    expect(() => written({ ...base, image })).toThrow("open_clip knows SigLIP's picture tower in timm's sizes");
  });
});
