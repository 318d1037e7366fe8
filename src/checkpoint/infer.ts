/**
 * @file The sizes of a CLIP from the shapes of its tensors, for a state dict that comes without a config: OpenAI's two
 * kinds and SigLIP. Follows OpenAI's `build_model`, whose files store no head counts: heads are 64 wide. Wider heads
 * exist in published models, and are known by the width of the tower; what no shape tells, the activation, is the caller's.
 */
import type { Activation, ClipConfig, ResnetConfig, TextConfig, VitConfig } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import { siglipImage, siglipText } from "./siglip.js";

export interface Heads {
  readonly image: number;
  readonly text: number;
}

/** Shapes by open_clip's names: a Map, or a view of a file that names them otherwise. */
export interface Shapes {
  get(name: string): readonly number[] | undefined;
}

/** Width of a tower → width of a head, for SigLIP's SO400M and giant, and open_clip's ViT-H, g, bigG and e; 64 otherwise. */
const publishedHeadWidths: { readonly [T in keyof Heads]: Readonly<Record<number, number>> } = {
  image: { 1152: 72, 1280: 80, 1408: 88, 1536: 96, 1664: 104, 1792: 112 },
  text: { 1152: 72 },
};

/**
 * @throws DiptychError `UnknownModel` if a tensor that tells a size is missing, or the heads cannot be known.
 */
export function inferConfig(shapes: Shapes, activation: Activation, heads?: Heads): ClipConfig {
  const model = reader(shapes, heads);
  const siglip = model.has("visual.attn_pool.probe");
  const projection = model.has("text_projection.bias") ? "text_projection.weight" : "text_projection";
  const [rows, columns] = model.shape(projection, 2) as [number, number]; // [E, D] of a linear map, else [D, E]
  return {
    embedSize: projection === "text_projection" ? columns : rows,
    activation,
    image: model.has("visual.layer1.0.conv1.weight") ? resnet(model) : vit(model, siglip),
    text: siglip ? siglipText(text(model)) : text(model),
    ...(model.has("logit_bias") && { logitBias: true }),
  };
}

type Reader = ReturnType<typeof reader>;

/** What the shapes tell, and the complaint where they do not. */
function reader(shapes: Shapes, heads: Heads | undefined) {
  const has = (name: string): boolean => shapes.get(name) !== undefined;
  return {
    has,
    shape(name: string, rank: number): readonly number[] {
      const found = shapes.get(name);
      if (found?.length === rank) return found;
      throw unknown(
        `The tensors do not describe a CLIP that Diptych knows without a config: ${name} is missing or has no ${rank} axes`,
      );
    },
    /** How many of `name(0)`, `name(1)`, … there are. */
    count(name: (i: number) => string): number {
      let i = 0;
      while (has(name(i))) i++;
      return i;
    },
    headsOf(tower: keyof Heads, width: number, headWidth = publishedHeadWidths[tower][width] ?? 64): number {
      const count = heads?.[tower] ?? width / headWidth;
      if (Number.isInteger(count) && width % count === 0) return count;
      throw unknown(`The number of heads of the ${tower} tower, ${width} wide, cannot be known from its tensors`);
    },
  };
}

function vit({ shape, count, headsOf }: Reader, siglip: boolean): VitConfig {
  const [width, , , patchSize] = shape("visual.conv1.weight", 4) as [number, number, number, number];
  const [positions] = shape("visual.positional_embedding", 2) as [number, number];
  const imageSize = patchSize * Math.round(Math.sqrt(positions - (siglip ? 0 : 1)));
  const sizes = {
    width,
    layers: count((i) => `visual.transformer.resblocks.${i}.ln_1.weight`),
    heads: headsOf("image", width),
    mlpWidth: shape("visual.transformer.resblocks.0.mlp.c_fc.weight", 2)[0]!,
  };
  return siglip ? siglipImage(imageSize, patchSize, sizes) : { kind: "vit", imageSize, patchSize, ...sizes };
}

function resnet({ shape, count, headsOf }: Reader): ResnetConfig {
  const [width] = shape("visual.layer1.0.conv1.weight", 4) as [number];
  const [positions, poolWidth] = shape("visual.attnpool.positional_embedding", 2) as [number, number];
  const blocks = (stage: number) => count((i) => `visual.layer${stage}.${i}.conv1.weight`);
  return {
    kind: "resnet",
    imageSize: 32 * Math.round(Math.sqrt(positions - 1)),
    layers: [blocks(1), blocks(2), blocks(3), blocks(4)],
    width,
    heads: headsOf("image", poolWidth, 64),
  };
}

function text({ shape, count, headsOf }: Reader): TextConfig {
  const [vocabularySize, width] = shape("token_embedding.weight", 2) as [number, number];
  return {
    contextLength: shape("positional_embedding", 2)[0]!,
    vocabularySize,
    width,
    layers: count((i) => `transformer.resblocks.${i}.ln_1.weight`),
    heads: headsOf("text", width),
    mlpWidth: shape("transformer.resblocks.0.mlp.c_fc.weight", 2)[0]!,
  };
}

const unknown = (problem: string) =>
  new DiptychError(
    "UnknownModel",
    `${problem}.`,
    "Give the folder with the model's config, or the number of heads: { heads: { image, text } }.",
  );
