/**
 * @file The names under which the published files store open_clip's parameters. One rule per parameter and dialect serves
 * reading and writing. Sources: open_clip `model.py`, `convert.py`; transformers `modeling_clip.py`.
 */
import type { StoredTensor } from "./storage.js";

export interface StoredAs {
  /** One name, or several whose tensors are stacked along the first axis. */
  readonly names: readonly string[];
  /** Stored [out, in] where open_clip keeps [in, out]. */
  readonly transposed: boolean;
}

export interface Dialect {
  readonly title: string;
  /** A name that no other dialect has. */
  readonly mark: string;
  readonly storedAs: (name: string) => StoredAs;
}

/** Buffers that some versions of the references saved along and that hold nothing learned. */
export const ignoredNames = /(^|\.)(position_ids|attn_mask|input_resolution|context_length|vocab_size)$/;

const plainly = (name: string): StoredAs => ({ names: [name], transposed: false });
const isText = (name: string): boolean => !name.startsWith("visual.") && !name.startsWith("logit_");

const whole: Readonly<Record<string, string>> = {
  logit_scale: "logit_scale",
  "visual.class_embedding": "vision_model.embeddings.class_embedding",
  "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
  "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
  "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight", // misspelled there, and so in every file
  "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
  "visual.ln_post.weight": "vision_model.post_layernorm.weight",
  "visual.ln_post.bias": "vision_model.post_layernorm.bias",
  "visual.proj": "visual_projection.weight",
  "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
  positional_embedding: "text_model.embeddings.position_embedding.weight",
  "ln_final.weight": "text_model.final_layer_norm.weight",
  "ln_final.bias": "text_model.final_layer_norm.bias",
  text_projection: "text_projection.weight",
};

const inBlock: Readonly<Record<string, string>> = {
  "ln_1.": "layer_norm1.",
  "ln_2.": "layer_norm2.",
  "attn.out_proj.": "self_attn.out_proj.",
  "mlp.c_fc.": "mlp.fc1.",
  "mlp.c_proj.": "mlp.fc2.",
};

function huggingFaceName(name: string): StoredAs {
  if (whole[name]) return { names: [whole[name]], transposed: name === "visual.proj" || name === "text_projection" };
  const block = /^(visual\.)?transformer\.resblocks\.(\d+)\.(.+\.)(\w+)$/.exec(name);
  if (!block) return plainly(name);
  const [, visual, layer, module, kind] = block;
  const layerName = `${visual ? "vision" : "text"}_model.encoder.layers.${layer}.`;
  const joined = /^in_proj_(weight|bias)$/.exec(kind!);
  if (joined) {
    const names = ["q", "k", "v"].map((role) => `${layerName}self_attn.${role}_proj.${joined[1]}`);
    return { names, transposed: false };
  }
  return plainly(`${layerName}${inBlock[module!] ?? module}${kind}`);
}

export const dialects = {
  openClip: { title: "open_clip's names", mark: "token_embedding.weight", storedAs: plainly },
  openClipCustomText: {
    title: "open_clip's names with text. before the text tower's",
    mark: "text.token_embedding.weight",
    storedAs: (name) => plainly(isText(name) ? `text.${name}` : name),
  },
  huggingFace: {
    title: "Hugging Face's names",
    mark: "text_model.embeddings.token_embedding.weight",
    storedAs: huggingFaceName,
  },
} as const satisfies Record<string, Dialect>;

export function dialectOf(tensors: readonly StoredTensor[]): Dialect | undefined {
  const names = new Set(tensors.map(({ name }) => name));
  return Object.values(dialects).find(({ mark }) => names.has(mark));
}
