/**
 * @file The range of the logit scale: exp of it stays in [1, 100], as in CLIP (Radford et al. 2021, §2.5). Not where there is
 * a logit bias: SigLIP lets it be.
 */
import type { ClipConfig } from "../clip/index.js";
import { relu, sub, type Tensor } from "../graph/index.js";
import type { TrainerOptions } from "./stepper.js";

const highest = Math.log(100);

/** Whether the scale is learned, and has a range. */
export const isClamped = ({ logitBias }: ClipConfig, { lora }: Pick<TrainerOptions, "lora">): boolean =>
  !logitBias && !lora;

export const clampedScale = (scale: number): number => Math.min(Math.max(scale, 0), highest);

/** The same in a graph: `[]` → `[]`. */
export const clampedScaleOf = (scale: Tensor): Tensor => sub(relu(scale), relu(sub(scale, highest)));
