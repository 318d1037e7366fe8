/**
 * @file Which layer of its tower a parameter belongs to: what locking and layer-wise learning rates go by.
 * The layers are the groups of open_clip's `lock`: 0 the embedding of patches or words, then the blocks (a ResNet's stages),
 * the last one with the normalisation behind it, and on top the projection or pooling by attention.
 */
import type { ClipConfig } from "./config.js";

export interface Place {
  readonly tower: "image" | "text";
  readonly layer: number;
  /** The layer of the projection: the highest. */
  readonly top: number;
}

/** The highest layer of each tower. */
export const topLayers = ({ image, text }: ClipConfig): { readonly [K in Place["tower"]]: number } => ({
  image: 1 + (image.kind === "vit" ? image.layers : image.layers.length),
  text: 1 + text.layers,
});

/** First pattern that fits decides; what fits none is layer 0. */
const rules: readonly (readonly [RegExp, (top: number, number: number) => number])[] = [
  [/resblocks\.(\d+)\./, (_, block) => block + 1],
  [/^visual\.layer(\d)\./, (_, stage) => stage],
  [/^(?:visual\.ln_post|ln_final)\./, (top) => top - 1],
  [/^(?:visual\.proj$|visual\.attn_?pool\.|text_projection)/, (top) => top],
];

/** Null for what belongs to no tower: the logits' scale and bias. */
export function placeOf(config: ClipConfig, name: string): Place | null {
  if (name.startsWith("logit_")) return null;
  const tower = name.startsWith("visual.") ? "image" : "text";
  const top = topLayers(config)[tower];
  for (const [pattern, layer] of rules) {
    const match = pattern.exec(name);
    if (match) return { tower, layer: layer(top, Number(match[1])), top };
  }
  return { tower, layer: 0, top };
}
