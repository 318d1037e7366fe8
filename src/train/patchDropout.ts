/**
 * @file Which patches of a picture a step looks at: a fresh choice for every picture and step, the same number for all.
 * Follows open_clip's `PatchDropout`; the randomness is a function of what it is for, so a resumed run drops the same.
 */
import { type ClipConfig, patchCount } from "../clip/index.js";
import type { Batch } from "../data/index.js";
import { DiptychError } from "../errors.js";
import { randomStream } from "../image/index.js";

/** Patches of a picture. @throws DiptychError "NoPatches" for a tower that is not made of them */
export function patchesOf({ image }: ClipConfig): number {
  if (image.kind === "vit") return patchCount(image);
  throw new DiptychError("NoPatches", "A ResNet has no patches to drop.", "Leave patchDropout out.");
}

/** How many of `patches` stay when a share is dropped: at least one. */
export const keptCount = (patches: number, dropped: number): number => Math.max(1, Math.floor(patches * (1 - dropped)));

/**
 * K of `patches` places for each picture, `[B, K]`.
 * @param dropped share of the patches, in [0, 1)
 * @param seeds for `randomStream`, one for each picture
 */
export function keptPatches(patches: number, dropped: number, seeds: readonly (readonly number[])[]): Int32Array {
  const count = keptCount(patches, dropped);
  const kept = new Int32Array(seeds.length * count);
  for (const [row, seed] of seeds.entries()) {
    const random = randomStream(seed);
    const places = Int32Array.from({ length: patches }, (_, i) => i);
    // Fisher and Yates's shuffle, as far as it is needed
    for (let i = 0; i < count; i++) {
      const j = i + Math.floor(random() * (patches - i));
      [places[i], places[j]] = [places[j]!, places[i]!];
    }
    kept.set(places.subarray(0, count), row * count);
  }
  return kept;
}

/**
 * Those that a batch's step looks at, `[B, K]`; a picture is known by its file's checksum, so that neither the order of
 * the rows nor the rank matters.
 */
export const patchesFor = (
  config: ClipConfig,
  dropped: number,
  seed: number,
  { checksums, position }: Pick<Batch, "checksums" | "position">,
): Int32Array =>
  keptPatches(
    patchesOf(config),
    dropped,
    Array.from(checksums, (checksum) => [seed, position.epoch, position.step, checksum]),
  );
