/** @file The learning rate over a run: linear warm-up, then half a cosine to zero. Follows open_clip's `cosine_lr`. */

/** @param step counts from 0 */
export function learningRate(step: number, base: number, warmup: number, total: number): number {
  if (step < warmup) return (base * (step + 1)) / warmup;
  return 0.5 * (1 + Math.cos((Math.PI * (step - warmup)) / (total - warmup))) * base;
}
