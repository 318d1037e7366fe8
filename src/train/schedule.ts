/**
 * @file The learning rate over a run: linear warm-up, then the peak falls along a curve, stays, or stays and falls at the end.
 * Follows open_clip's `scheduler.py`: `cosine_lr`, `const_lr`, and `const_lr_cooldown` with power 1 and end 0.
 */
import { z } from "zod";

/** Share of the peak that is left after a share t of the steps behind warm-up. */
const curves = {
  cosine: (t: number) => 0.5 * (1 + Math.cos(Math.PI * t)),
  linear: (t: number) => 1 - t,
  constant: () => 1,
} as const;

export const scheduleSchema = z.enum(Object.keys(curves) as [keyof typeof curves, ...(keyof typeof curves)[]]);

export interface Schedule {
  /** The peak. */
  readonly learningRate: number;
  /** Steps over which the rate rises to its peak. */
  readonly warmup: number;
  /** "cosine" unless given. */
  readonly schedule?: keyof typeof curves | undefined;
  /** Last steps, over which what the schedule says falls to 0 in a straight line. */
  readonly cooldown?: number | undefined;
}

/**
 * @param step counts from 0
 * @param total steps of the run
 */
export function learningRate(step: number, options: Schedule, total: number): number {
  const { learningRate: peak, warmup, schedule = "cosine", cooldown = 0 } = options;
  if (step < warmup) return (peak * (step + 1)) / warmup;
  const left = cooldown > 0 ? Math.min(1, (total - step) / cooldown) : 1;
  return peak * curves[schedule]((step - warmup) / (total - warmup)) * left;
}
