/**
 * @file `preprocessor_config.json` of a Hugging Face folder, read and written. Follows transformers' `CLIPImageProcessor`
 * and `SiglipImageProcessor` with their defaults.
 */
import { z } from "zod";
import { DiptychError } from "../errors.js";
import { openaiPreprocess, type PreprocessConfig } from "../image/index.js";
import { cannotExpress } from "./express.js";
import { checkJson, withoutNulls } from "./json.js";
import { siglipPreprocess } from "./siglip.js";

const size = z.number().int().positive();
const edges = z.union([
  size,
  z.object({ shortest_edge: size }).transform(({ shortest_edge }) => shortest_edge),
  z.object({ height: size, width: size }).transform(({ height, width }): [number, number] => [height, width]),
]);
const triple = z.tuple([z.number(), z.number(), z.number()]);
const record = z.record(z.string(), z.unknown());
const on = z.literal(true).default(true);

const preprocessorSchema = z.object({
  do_resize: on,
  do_rescale: on,
  do_normalize: on,
  do_center_crop: z.boolean().default(true),
  size: edges.optional(),
  crop_size: edges.optional(),
  resample: z.union([z.literal(2), z.literal(3)]).default(3),
  rescale_factor: z
    .number()
    .refine((factor) => Math.abs(factor * 255 - 1) < 1e-6, "only 1/255 is known")
    .default(1 / 255),
  image_mean: triple.optional(),
  image_std: triple.optional(),
  image_processor_type: z.string().optional(),
  feature_extractor_type: z.string().optional(),
});

/** `preprocessor_config.json` (or `image_processor` in `processor_config.json`); sizes default to the model's. */
export function fromPreprocessor(json: unknown, imageSize: PreprocessConfig["size"], where: string): PreprocessConfig {
  const given = checkJson(preprocessorSchema, withoutNulls(checkJson(record, json, where)), where);
  const processor = given.image_processor_type ?? given.feature_extractor_type ?? "";
  const siglip = processor.startsWith("Siglip");
  const usual = siglip ? siglipPreprocess(imageSize) : openaiPreprocess(imageSize);
  const resized = given.size ?? (siglip && typeof imageSize === "number" ? [imageSize, imageSize] : imageSize);
  const crop = given.do_center_crop ? (given.crop_size ?? resized) : resized;
  const side = (edge: number | readonly number[]) => (typeof edge === "number" ? [edge, edge] : edge);
  const squash = Array.isArray(resized);
  if (side(crop).join() !== side(resized).join() || (!squash && !given.do_center_crop)) {
    throw new DiptychError(
      "UnsupportedModel",
      `${where} sets crop_size to ${JSON.stringify(given.do_center_crop ? crop : null)}, which Diptych does not do.`,
      "Use a CLIP whose pictures are cut to the size that they are resized to.",
    );
  }
  const [height, width] = side(crop);
  return {
    size: height === width ? height! : [height!, width!],
    mean: given.image_mean ?? usual.mean,
    std: given.image_std ?? usual.std,
    interpolation: given.resample === 2 ? "bilinear" : "bicubic",
    resize: squash ? "squash" : "shortest",
    fill: 0,
    convention: processor.endsWith("Fast") ? "transformers-fast" : "transformers",
  };
}

/** @throws DiptychError `CannotExpress` for what transformers' processors do not do. */
export function toPreprocessor(config: PreprocessConfig, siglip: boolean): object {
  const [height, width] = typeof config.size === "number" ? [config.size, config.size] : config.size;
  if (config.resize === "longest" || (config.resize === "shortest" && height !== width)) {
    throw cannotExpress(`Hugging Face's processors cannot make the ${config.resize} side fit ${height}×${width}.`);
  }
  const squash = config.resize === "squash";
  const fast = config.convention === "transformers-fast" ? "Fast" : "";
  return {
    ...(siglip && squash
      ? { image_processor_type: `SiglipImageProcessor${fast}` }
      : // transformers.js looks for the second, where a folder has it
        { image_processor_type: `CLIPImageProcessor${fast}`, feature_extractor_type: "CLIPFeatureExtractor" }),
    do_convert_rgb: true,
    do_resize: true,
    size: squash ? { height, width } : { shortest_edge: Math.min(height, width) },
    resample: config.interpolation === "bicubic" ? 3 : 2,
    do_center_crop: !squash,
    crop_size: { height, width },
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: config.mean,
    image_std: config.std,
  };
}
