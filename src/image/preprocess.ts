/**
 * @file How a model wants its pictures: as data, and the geometry that follows from it.
 * Follows open_clip's `image_transform` and, where `convention` says so, transformers' CLIP and SigLIP processors.
 */
import { z } from "zod";
import type { Target } from "./resample.js";

const side = z.number().int().positive();
const perChannel = z.tuple([z.number(), z.number(), z.number()]);

export const preprocessSchema = z.strictObject({
  /** Of the crop, in pixels: a square's side, or `[height, width]`. */
  size: z.union([side, z.tuple([side, side])]),
  /** Per channel, on a scale where white is 1. */
  mean: perChannel,
  std: perChannel,
  interpolation: z.enum(["bicubic", "bilinear"]),
  /** Make the *shortest* side fit and cut the rest off, *squash* both, or make the *longest* fit and pad. */
  resize: z.enum(["shortest", "squash", "longest"]),
  /** Value of the padding, 0 to 255, in the picture's own mode. */
  fill: z.number().int().min(0).max(255).default(0),
  /**
   * `torchvision` (OpenAI, open_clip): resize, then convert to RGB by dropping alpha; crop offsets round half to even.
   * `transformers` (version 5): lay the picture on white, convert to RGB, then resize; crop offsets round down.
   * `transformers-fast` (its processors on torchvision): the same, but resized as a tensor, with coarser weights.
   */
  convention: z.enum(["torchvision", "transformers", "transformers-fast"]).default("torchvision"),
});
export type PreprocessConfig = z.infer<typeof preprocessSchema>;

/** What OpenAI's models and most others were trained with; `size` is the model's input side in pixels. */
export const openaiPreprocess = (size: PreprocessConfig["size"]): PreprocessConfig => ({
  size,
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
  interpolation: "bicubic",
  resize: "shortest",
  fill: 0,
  convention: "torchvision",
});

/** `[height, width]` of the crop. */
export const cropSize = ({ size }: PreprocessConfig): readonly [number, number] =>
  typeof size === "number" ? [size, size] : size;

/** Where the crop lies on the resized picture; it may reach beyond it, which is then padded. */
export type CropPlan = Target;

/** The geometry for a picture of this width and height. */
export function planCrop(width: number, height: number, config: PreprocessConfig): CropPlan {
  const [cropHeight, cropWidth] = cropSize(config);
  const [fullHeight, fullWidth] = resizedSize(width, height, config);
  const offset = config.convention === "torchvision" ? roundHalfEven : Math.floor;
  const start = (full: number, crop: number): number =>
    full < crop ? -Math.floor((crop - full) / 2) : offset((full - crop) / 2);
  return {
    fullWidth,
    fullHeight,
    left: start(fullWidth, cropWidth),
    top: start(fullHeight, cropHeight),
    width: cropWidth,
    height: cropHeight,
  };
}

/** `[height, width]` after resizing, before cropping or padding. */
function resizedSize(width: number, height: number, config: PreprocessConfig): readonly [number, number] {
  const [cropHeight, cropWidth] = cropSize(config);
  if (config.resize === "squash") return [cropHeight, cropWidth];
  if (config.resize === "shortest" && cropHeight === cropWidth) {
    return width <= height
      ? [Math.trunc((cropWidth * height) / width), cropWidth]
      : [cropHeight, Math.trunc((cropHeight * width) / height)];
  }
  const ratios = [height / cropHeight, width / cropWidth] as const;
  const ratio = config.resize === "longest" ? Math.max(...ratios) : Math.min(...ratios);
  // A very thin picture would vanish.
  return [Math.max(1, roundHalfEven(height / ratio)), Math.max(1, roundHalfEven(width / ratio))];
}

/** Python's `round`. */
export function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
