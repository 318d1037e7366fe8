/**
 * @file From RGB bytes to the numbers that a model reads: torchvision's `ToTensor` and `Normalize`.
 * Every step is rounded to single precision, as PyTorch does it, so the results are equal bit for bit.
 */
import { cropSize, type PreprocessConfig } from "./preprocess.js";

/**
 * `(x / 255 − mean) / std`, channels first: crops of bytes `[height, width, 3]` → `[N, 3, height, width]`.
 * Writes into `out` where given; it must hold exactly that many.
 */
export function normalise(crops: readonly Uint8Array[], config: PreprocessConfig, out?: Float32Array): Float32Array {
  const [height, width] = cropSize(config);
  const pixels = height * width;
  const result = out ?? new Float32Array(crops.length * 3 * pixels);
  if (result.length !== crops.length * 3 * pixels || crops.some((crop) => crop.length !== pixels * 3)) {
    throw new RangeError(`normalise: ${crops.length} crops of ${height}×${width}×3 into ${result.length} numbers`);
  }
  const [red, green, blue] = levelsOf(config);
  let to = 0;
  for (const crop of crops) {
    for (let from = 0; from < crop.length; from += 3, to++) {
      result[to] = red[crop[from]!]!;
      result[to + pixels] = green[crop[from + 1]!]!;
      result[to + 2 * pixels] = blue[crop[from + 2]!]!;
    }
    to += 2 * pixels;
  }
  return result;
}

type Levels = readonly [red: Float32Array, green: Float32Array, blue: Float32Array];

/** Kept, because a model normalises thousands of batches in the same way. */
const known = new WeakMap<PreprocessConfig, Levels>();

function levelsOf(config: PreprocessConfig): Levels {
  const { mean, std } = config;
  const made = known.get(config) ?? [levels(mean[0], std[0]), levels(mean[1], std[1]), levels(mean[2], std[2])];
  known.set(config, made);
  return made;
}

/** The 256 values that a byte can become. */
function levels(mean: number, std: number): Float32Array {
  const { fround } = Math;
  return Float32Array.from({ length: 256 }, (_, x) => fround(fround(x / 255) - fround(mean)) / fround(std));
}
