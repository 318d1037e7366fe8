/**
 * @file The sizes of a CLIP from the shapes of its tensors, for a state dict that comes without a config.
 * Follows OpenAI's `build_model`, whose files store no head counts: heads are 64 wide. Wider heads exist in published
 * models, and are known by the width of the tower; what no shape tells, the activation, is the caller's.
 */
import type { Activation, ClipConfig } from "../clip/index.js";
import { DiptychError } from "../errors.js";

export interface Heads {
  readonly image: number;
  readonly text: number;
}

/** Width of the picture tower → width of a head, for open_clip's ViT-H, g, bigG and e; 64 otherwise. */
const publishedHeadWidths: Readonly<Record<number, number>> = { 1280: 80, 1408: 88, 1664: 104, 1792: 112 };

/**
 * @param shapes by open_clip's names
 * @throws DiptychError `UnknownModel` if a tensor that tells a size is missing, or the heads cannot be known.
 */
export function inferConfig(
  shapes: ReadonlyMap<string, readonly number[]>,
  activation: Activation,
  heads?: Heads,
): ClipConfig {
  const shape = (name: string, rank: number): readonly number[] => {
    const found = shapes.get(name);
    if (found?.length === rank) return found;
    throw unknown(
      `The tensors do not describe a CLIP with a Vision Transformer: ${name} is missing or has no ${rank} axes`,
    );
  };
  const headsOf = (tower: keyof Heads, width: number): number => {
    const count = heads?.[tower] ?? width / (tower === "image" ? (publishedHeadWidths[width] ?? 64) : 64);
    if (Number.isInteger(count) && width % count === 0) return count;
    throw unknown(`The number of heads of the ${tower} tower, ${width} wide, cannot be known from its tensors`);
  };
  const layers = (prefix: string): number =>
    [...shapes.keys()].filter((name) => name.startsWith(prefix) && name.endsWith(".attn.in_proj_weight")).length;

  const [width, , , patchSize] = shape("visual.conv1.weight", 4) as [number, number, number, number];
  const [positions] = shape("visual.positional_embedding", 2) as [number, number];
  const [, embedSize] = shape("text_projection", 2) as [number, number];
  const [vocabularySize, textWidth] = shape("token_embedding.weight", 2) as [number, number];
  const [contextLength] = shape("positional_embedding", 2) as [number, number];
  return {
    embedSize,
    activation,
    image: {
      kind: "vit",
      imageSize: patchSize * Math.round(Math.sqrt(positions - 1)),
      patchSize,
      width,
      layers: layers("visual.transformer.resblocks."),
      heads: headsOf("image", width),
      mlpWidth: shape("visual.transformer.resblocks.0.mlp.c_fc.weight", 2)[0]!,
    },
    text: {
      contextLength,
      vocabularySize,
      width: textWidth,
      layers: layers("transformer.resblocks."),
      heads: headsOf("text", textWidth),
      mlpWidth: shape("transformer.resblocks.0.mlp.c_fc.weight", 2)[0]!,
    },
  };
}

const unknown = (problem: string) =>
  new DiptychError(
    "UnknownModel",
    `${problem}.`,
    "Give the folder with the model's config, or the number of heads: { heads: { image, text } }.",
  );
