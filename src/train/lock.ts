/**
 * @file Which parameters of a run stay as they are. A frozen one has no gradient, no moments and no weight decay, and batch
 * normalisation in a frozen layer keeps its running averages.
 * Follows open_clip's `lock` (its `unlocked_groups` g is `unlockedFrom` top + 1 − g) and LiT (Zhai et al. 2022).
 */
import { z } from "zod";
import { type ClipConfig, isAdapter, type Lora, type Place, placeOf, topLayers } from "../clip/index.js";
import { DiptychError } from "../errors.js";

const towerSchema = z.union([z.literal(true), z.strictObject({ unlockedFrom: z.number().int().nonnegative() })]);

/** A tower is frozen as a whole, or below layer k: 0 embeds, blocks count from 1, the projection is the last. */
export const lockSchema = z.strictObject({ image: towerSchema.optional(), text: towerSchema.optional() });
export type Lock = z.infer<typeof lockSchema>;

/**
 * Whether a parameter stays as it is: those of locked layers, and with LoRA all but the adapters.
 * @throws DiptychError "NoSuchLayer"
 */
export function frozenBy(config: ClipConfig, lock: Lock = {}, lora?: Lora): (name: string) => boolean {
  const tops = topLayers(config);
  const locked = { image: lockedBelow("image", tops.image, lock), text: lockedBelow("text", tops.text, lock) };
  return (name) => {
    if (lora && !isAdapter(name)) return true;
    const place = placeOf(config, name);
    return place !== null && place.layer < locked[place.tower];
  };
}

/** Layers below this one are locked. */
function lockedBelow(tower: Place["tower"], top: number, lock: Lock): number {
  const given = lock[tower];
  if (given === undefined) return 0;
  if (given === true) return top + 1;
  if (given.unlockedFrom > top) {
    throw new DiptychError(
      "NoSuchLayer",
      `The ${tower} tower cannot be unlocked from layer ${given.unlockedFrom}: its layers are 0 to ${top}.`,
      `Give one of them, or "${tower}": true to lock them all.`,
    );
  }
  return given.unlockedFrom;
}
