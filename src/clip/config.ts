/**
 * @file What a CLIP is, as data: the sizes of its two towers. One zod schema gives the type and the check.
 * Field names are the papers' terms; the tables of published models are in `presets.ts`.
 */
import { z } from "zod";

const size = z.number().int().positive();

/** `quick_gelu` is x·σ(1.702x) (OpenAI's models), `gelu` the exact one (erf), `gelu_tanh` its tanh approximation. */
export const activationSchema = z.enum(["quick_gelu", "gelu", "gelu_tanh"]);
export type Activation = z.infer<typeof activationSchema>;

/** Vision Transformer: pictures `[N, 3, imageSize, imageSize]` are cut into `(imageSize / patchSize)²` patches. */
export const vitSchema = z.strictObject({
  kind: z.literal("vit"),
  imageSize: size,
  patchSize: size,
  width: size,
  layers: size,
  heads: size,
  /** Hidden width of the MLP; 4 × width in most models. */
  mlpWidth: size,
});
export type VitConfig = z.infer<typeof vitSchema>;

/** Causal Transformer over token ids `[M, L]`, L ≤ contextLength; pooled at the largest id (end of text). */
export const textSchema = z.strictObject({
  contextLength: size,
  vocabularySize: size,
  width: size,
  layers: size,
  heads: size,
  mlpWidth: size,
});
export type TextConfig = z.infer<typeof textSchema>;

export const clipSchema = z.strictObject({
  /** Width of the shared space. */
  embedSize: size,
  activation: activationSchema,
  image: vitSchema,
  text: textSchema,
});
export type ClipConfig = z.infer<typeof clipSchema>;
