/**
 * @file What a CLIP is, as data: the sizes of its two towers. One zod schema gives the type and the check.
 * Field names are the papers' terms; the tables of published models are in `presets.ts`.
 * A field that may be left out says what its absence means: OpenAI's CLIP is the model with none of them.
 */
import { z } from "zod";

const size = z.number().int().positive();

/** `quick_gelu` is x·σ(1.702x) (OpenAI's models), `gelu` the exact one (erf), `gelu_tanh` its tanh approximation. */
export const activationSchema = z.enum(["quick_gelu", "gelu", "gelu_tanh"]);
export type Activation = z.infer<typeof activationSchema>;

/** Normalisations and factors beside OpenAI's blocks that open_clip knows and no published model uses. */
const additionSchema = z.enum(["queryKeyNorm", "headScale", "innerNorm", "attentionNorm", "mlpNorm"]);

/** A stack of residual attention blocks. */
const blocks = {
  width: size,
  layers: size,
  heads: size,
  /** Hidden width of the MLP; 4 × width in most models. */
  mlpWidth: size,
  /** ε of every layer normalisation; 1e-5 unless given (SigLIP: 1e-6). */
  epsilon: z.number().positive().optional(),
  /** A learned factor per channel on what each half of a block adds. */
  layerScale: z.boolean().optional(),
  additions: z.array(additionSchema).optional(),
};
const blocksSchema = z.strictObject(blocks);
export type TransformerConfig = z.infer<typeof blocksSchema>;

/** A square's side, or `[height, width]`. */
const imageSize = z.union([size, z.tuple([size, size])]);

/** Pooling by attention: learned queries look at all tokens. */
const attentionPoolSchema = z.discriminatedUnion("kind", [
  /** open_clip's `AttentionalPooler` (CoCa): queries of the embedding's width, then `ln_post` and `pool` over them. */
  z.strictObject({ kind: z.literal("queries"), queries: size, heads: size }),
  /** SigLIP's MAP head: one query after `ln_post`, then a residual MLP. */
  z.strictObject({ kind: z.literal("probe"), heads: size, mlpWidth: size }),
]);

/** Vision Transformer: pictures `[N, 3, H, W]` are cut into ⌊H / patchSize⌋ · ⌊W / patchSize⌋ patches. */
export const vitSchema = z.strictObject({
  kind: z.literal("vit"),
  imageSize,
  patchSize: size,
  ...blocks,
  /** false: only patches are tokens (SigLIP). */
  classToken: z.boolean().optional(),
  /** true: the patch embedding has a bias (SigLIP). */
  patchBias: z.boolean().optional(),
  /** false: no normalisation before the first block (CLIPA, SigLIP). */
  preNorm: z.boolean().optional(),
  attentionPool: attentionPoolSchema.optional(),
  /** "token" (the first) unless given; "average" is over all but the first. */
  pool: z.enum(["token", "average"]).optional(),
  /** true: `ln_post` after pooling rather than before (the same for "token"). */
  normAfterPool: z.boolean().optional(),
  /** false: what is pooled is the embedding (SigLIP). */
  projection: z.boolean().optional(),
});
export type VitConfig = z.infer<typeof vitSchema>;

/** ModifiedResNet (Radford et al. 2021, §2.4): bottleneck blocks per stage, attention pooling. */
export const resnetSchema = z.strictObject({
  kind: z.literal("resnet"),
  imageSize: size,
  /** Blocks in each of the four stages. */
  layers: z.tuple([size, size, size, size]),
  /** Channels after the stem; the last stage has 32 times as many. */
  width: size,
  /** Of the attention pool: `width · 32 / 64`. */
  heads: size,
});
export type ResnetConfig = z.infer<typeof resnetSchema>;

/** Transformer over token ids `[M, L]`, L ≤ contextLength. */
export const textSchema = z.strictObject({
  contextLength: size,
  vocabularySize: size,
  ...blocks,
  /** Where it differs from the picture tower's (some SigLIP 2). */
  activation: activationSchema.optional(),
  /** false: tokens see what follows them, padding too, so that texts have to be padded to the context. */
  causal: z.boolean().optional(),
  /** The id that fills texts up; 0 unless given. */
  padId: z.number().int().nonnegative().optional(),
  /** A learned token behind the text that is pooled instead of `pool` (CoCa). It cannot see padding. */
  classToken: z.boolean().optional(),
  /** The token that stands for the text: that of the "largest" id (end of text) unless given, or the first of an id. */
  pool: z
    .union([z.enum(["largest", "first", "last"]), z.strictObject({ id: z.number().int().nonnegative() })])
    .optional(),
  /** "matrix" unless given; "linear" has a bias (SigLIP); "none": what is pooled is the embedding. */
  projection: z.enum(["matrix", "linear", "none"]).optional(),
});
export type TextConfig = z.infer<typeof textSchema>;

const sizesSchema = z.strictObject({
  /** Width of the shared space. */
  embedSize: size,
  activation: activationSchema,
  image: z.discriminatedUnion("kind", [vitSchema, resnetSchema]),
  text: textSchema,
  /** true: a learned number is added to every logit (SigLIP). */
  logitBias: z.boolean().optional(),
});
export type ClipConfig = z.infer<typeof sizesSchema>;

export const clipSchema = sizesSchema.superRefine((config, context) => {
  for (const message of misfits(config)) context.addIssue({ code: "custom", message });
});

/** Sizes that are possible each alone and not together, one sentence each. */
function misfits({ embedSize, image, text }: ClipConfig): string[] {
  const divided: (readonly [what: string, width: number, heads: number])[] = [["text tower", text.width, text.heads]];
  if (image.kind === "resnet") divided.push(["attention pool", 32 * image.width, image.heads]);
  else {
    const { attentionPool } = image;
    divided.push(["picture tower", image.width, image.heads]);
    if (attentionPool) {
      const pooled = attentionPool.kind === "probe" ? image.width : embedSize;
      divided.push(["attention pool", pooled, attentionPool.heads]);
    }
  }
  const step = image.kind === "resnet" ? 32 : image.patchSize;
  const smallest = Math.min(...[image.imageSize].flat());
  return [
    ...divided
      .filter(([, width, heads]) => width % heads !== 0)
      .map(([what, width, heads]) => `the ${what} is ${width} wide, which ${heads} heads cannot share`),
    ...(smallest < step ? [`pictures of ${smallest} pixels hold no patch of ${step}`] : []),
  ];
}

/** `[height, width]` of the pictures that a model takes. */
export const inputSides = ({ image }: ClipConfig): readonly [number, number] =>
  typeof image.imageSize === "number" ? [image.imageSize, image.imageSize] : image.imageSize;

/** Whether a text's embedding is the same however far it is padded, so that batches may be cut to their longest. */
export const ignoresPadding = ({ text }: ClipConfig): boolean =>
  text.causal !== false && !text.classToken && text.pool !== "last";
