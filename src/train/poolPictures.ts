/** @file The run's picture workers for a model that is asked beside the one in training. */
import type { PreprocessConfig } from "../image/index.js";
import type { PicturePool } from "../image/node.js";
import type { PictureSource } from "../tasks/index.js";

/** Crops in the workers of `pool`, which stays the run's to end. */
export const poolPictures = (pool: PicturePool): PictureSource => ({
  crop: (source: string | Uint8Array, config: PreprocessConfig) => pool.run({ source, task: "crop", config }),
  dispose: async () => {},
});
