/**
 * @file `preprocess_cfg` of open_clip's `open_clip_config.json`, read and written.
 * Follows open_clip 3.3 (`transform.py`: PreprocessCfg).
 */
import { z } from "zod";
import { openaiPreprocess, type PreprocessConfig } from "../image/index.js";
import { checkJson, withoutNulls } from "./json.js";

const triple = z.tuple([z.number(), z.number(), z.number()]);

const preprocessCfgSchema = z.object({
  mode: z.literal("RGB").default("RGB"),
  mean: triple.optional(),
  std: triple.optional(),
  interpolation: z.enum(["bicubic", "bilinear"]).default("bicubic"),
  resize_mode: z.enum(["shortest", "squash", "longest"]).default("shortest"),
  fill_color: z.number().default(0),
});

/** The size is the model's, whatever the file says. */
export function fromPreprocessCfg(
  preprocessCfg: Readonly<Record<string, unknown>>,
  imageSize: PreprocessConfig["size"],
  where: string,
): PreprocessConfig {
  const given = checkJson(preprocessCfgSchema, withoutNulls(preprocessCfg), where);
  const openai = openaiPreprocess(imageSize);
  return {
    ...openai,
    mean: given.mean ?? openai.mean,
    std: given.std ?? openai.std,
    interpolation: given.interpolation,
    resize: given.resize_mode,
    fill: given.fill_color,
  };
}

export const toPreprocessCfg = (preprocess: PreprocessConfig) => ({
  size: preprocess.size,
  mode: "RGB",
  mean: preprocess.mean,
  std: preprocess.std,
  interpolation: preprocess.interpolation,
  resize_mode: preprocess.resize,
  fill_color: preprocess.fill,
});
