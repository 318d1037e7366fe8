/**
 * @file The names under which the published files store open_clip's parameters, as renamings from ours to theirs: one
 * table per dialect serves reading and writing. Sources: open_clip 3.3 `model.py`, `convert.py`; timm 1.0
 * `vision_transformer.py`; transformers `modeling_clip.py`, `modeling_siglip.py`.
 */
import type { ClipConfig } from "../clip/index.js";
import { isSiglip } from "./siglip.js";
import type { StoredTensor } from "./storage.js";

/** Applied one after the other. Braces name the tensors that a parameter is cut into, one letter a third. */
type Renamings = readonly (readonly [RegExp, string])[];

export interface Dialect {
  readonly title: string;
  /** Whose config lies beside such weights. */
  readonly library: "open_clip" | "transformers";
  /** A name that tells the dialect from those after it in the table. */
  readonly mark: string;
  readonly renamings: Renamings;
  /** Ours that are stored [out, in] where open_clip keeps [in, out]. */
  readonly transposed?: readonly string[];
  /** Ours that have an axis of length 1 more there, before the others. */
  readonly wrapped?: readonly string[];
}

const ofText = /^(?!visual\.|logit_)/;

const customText: Renamings = [[ofText, "text."]];

const timm: Renamings = [
  ...customText,
  [/^visual\.conv1\./, "visual.trunk.patch_embed.proj."],
  [/^visual\.positional_embedding$/, "visual.trunk.pos_embed"],
  [/^visual\.transformer\.resblocks\.(\d+)\.ln_/, "visual.trunk.blocks.$1.norm"],
  [/^visual\.transformer\.resblocks\./, "visual.trunk.blocks."],
  [/^visual\.ln_post\./, "visual.trunk.norm."],
  [/^visual\.attn_pool\.probe$/, "visual.trunk.attn_pool.latent"],
  [/^visual\.attn_pool\.attn\.in_proj_/, "visual.trunk.attn_pool.{q,kv}."],
  [/^visual\.attn_pool\.attn\.out_proj\./, "visual.trunk.attn_pool.proj."],
  [/^visual\.attn_pool\.ln\./, "visual.trunk.attn_pool.norm."],
  [/^visual\.attn_pool\./, "visual.trunk.attn_pool."],
  [/^(visual\.trunk\..*)\.in_proj_/, "$1.qkv."],
  [/^(visual\.trunk\..*)\.out_proj\./, "$1.proj."],
  [/^(visual\.trunk\..*)\.c_fc\./, "$1.fc1."],
  [/^(visual\.trunk\..*)\.c_proj\./, "$1.fc2."],
];

const transformers: Renamings = [
  [/^visual\.class_embedding$/, "vision_model.embeddings.class_embedding"],
  [/^visual\.conv1\./, "vision_model.embeddings.patch_embedding."],
  [/^visual\.positional_embedding$/, "vision_model.embeddings.position_embedding.weight"],
  [/^visual\.ln_pre\./, "vision_model.pre_layrnorm."], // misspelled there, and so in every file
  [/^visual\.transformer\.resblocks\./, "vision_model.encoder.layers."],
  [/^visual\.ln_post\./, "vision_model.post_layernorm."],
  [/^visual\.proj$/, "visual_projection.weight"],
  [/^visual\.attn_pool\.attn\./, "vision_model.head.attention."],
  [/^visual\.attn_pool\.ln\./, "vision_model.head.layernorm."],
  [/^visual\.attn_pool\./, "vision_model.head."],
  [/^token_embedding\./, "text_model.embeddings.token_embedding."],
  [/^positional_embedding$/, "text_model.embeddings.position_embedding.weight"],
  [/^transformer\.resblocks\./, "text_model.encoder.layers."],
  [/^ln_final\./, "text_model.final_layer_norm."],
  [/^text_projection\./, "text_model.head."],
  [/^text_projection$/, "text_projection.weight"],
  [/\.ln_(\d)\./, ".layer_norm$1."],
  [/\.attn\.in_proj_(\w+)$/, ".self_attn.{q,k,v}_proj.$1"],
  [/\.attn\./, ".self_attn."],
  [/\.c_fc\./, ".fc1."],
  [/\.c_proj\./, ".fc2."],
];

export const dialects = {
  timm: {
    title: "open_clip's names with timm's picture tower",
    library: "open_clip",
    mark: "visual.trunk.attn_pool.latent",
    renamings: timm,
    wrapped: ["visual.positional_embedding", "visual.attn_pool.probe"],
  },
  openClipCustomText: {
    title: "open_clip's names with text. before the text tower's",
    library: "open_clip",
    mark: "text.token_embedding.weight",
    renamings: customText,
  },
  openClip: {
    title: "open_clip's names",
    library: "open_clip",
    mark: "token_embedding.weight",
    renamings: [],
  },
  siglip: {
    title: "Hugging Face's names for SigLIP",
    library: "transformers",
    mark: "vision_model.head.probe",
    renamings: transformers,
    wrapped: ["visual.attn_pool.probe", "logit_scale", "logit_bias"],
  },
  huggingFace: {
    title: "Hugging Face's names",
    library: "transformers",
    mark: "text_model.embeddings.token_embedding.weight",
    renamings: transformers,
    transposed: ["visual.proj", "text_projection"],
  },
} as const satisfies Record<string, Dialect>;

export function dialectOf(tensors: readonly StoredTensor[]): Dialect | undefined {
  const names = new Set(tensors.map(({ name }) => name));
  return Object.values(dialects).find(({ mark }) => names.has(mark));
}

/** What a library's own model class calls the parameters of this model. */
export function dialectFor(config: ClipConfig, library: Dialect["library"]): Dialect {
  const { text } = config;
  if (library === "transformers") return isSiglip(config) ? dialects.siglip : dialects.huggingFace;
  if (isSiglip(config)) return dialects.timm;
  return text.classToken || text.projection ? dialects.openClipCustomText : dialects.openClip;
}

export interface StoredAs {
  /** One tensor, or several that are stacked along the first axis. */
  readonly parts: readonly { readonly name: string; readonly shape: readonly number[] }[];
  readonly transposed: boolean;
}

/** Where a dialect stores our parameter, and in which shapes. */
export function storedAs(dialect: Dialect, name: string, shape: readonly number[]): StoredAs {
  const { transposed = [], wrapped = [] } = dialect;
  const names = namesOf(dialect, name);
  if (transposed.includes(name)) {
    return { parts: [{ name: names[0]!.name, shape: [...shape].reverse() }], transposed: true };
  }
  const whole = wrapped.includes(name) ? [1, ...shape] : shape;
  const parts = names.map(({ name: part, thirds }) => ({
    name: part,
    shape: thirds === 3 ? whole : [(whole[0]! / 3) * thirds, ...whole.slice(1)],
  }));
  return { parts, transposed: false };
}

/** The shape of our parameter in a file of this dialect; undefined where the file lacks it. For those in one tensor. */
export function shapeIn(
  dialect: Dialect,
  stored: ReadonlyMap<string, readonly number[]>,
  name: string,
): readonly number[] | undefined {
  const shape = stored.get(namesOf(dialect, name)[0]!.name);
  if (dialect.wrapped?.includes(name)) return shape?.slice(1);
  return dialect.transposed?.includes(name) ? shape && [...shape].reverse() : shape;
}

function namesOf({ renamings }: Dialect, name: string): { readonly name: string; readonly thirds: number }[] {
  const renamed = renamings.reduce((old, [pattern, to]) => old.replace(pattern, to), name);
  const roles = /\{(.+)\}/.exec(renamed);
  if (!roles) return [{ name: renamed, thirds: 3 }];
  return roles[1]!.split(",").map((role) => ({ name: renamed.replace(roles[0], role), thirds: role.length }));
}

/** What a CLIP's file may hold beside it and why Diptych leaves it aside; null: buffers that hold nothing learned. */
export const unused: readonly (readonly [RegExp, string | null])[] = [
  [/(^|\.)(position_ids|attn_mask|input_resolution|context_length|vocab_size|num_batches_tracked)$/, null],
  [/^text_decoder\./, "CoCa's captioner (text_decoder), which Diptych does not build"],
];
