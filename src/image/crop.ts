/**
 * @file From a decoded picture to the 8-bit RGB crop that a model sees, in evaluation (`cropPicture`) and in training
 * (`augmentPicture`, torchvision's `RandomResizedCrop` and `RandomHorizontalFlip`). Leaves out colour jitter.
 */

import { channelsOf, type Picture, paddingColour, premultiply, toRgb, unpremultiply } from "./picture.js";
import { cropSize, type PreprocessConfig, planCrop, roundHalfEven } from "./preprocess.js";
import { type Mixing, resample, resample16, resampleNearest, type Target } from "./resample.js";

/** A rectangle of a picture, in pixels. */
interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** The crop before it is scaled and normalised, RGB bytes `[height, width, 3]`: resized, cropped or padded, made RGB. */
export function cropPicture(picture: Picture, config: PreprocessConfig): Uint8Array {
  const source = config.convention !== "torchvision" ? onWhite(picture) : picture;
  const plan = planCrop(source.width, source.height, config);

  // The part of the crop that the resized picture covers.
  const left = Math.max(0, plan.left);
  const top = Math.max(0, plan.top);
  const width = Math.min(plan.left + plan.width, plan.fullWidth) - left;
  const height = Math.min(plan.top + plan.height, plan.fullHeight) - top;
  const whole = { left: 0, top: 0, width: source.width, height: source.height };
  const covered = resizeToRgb(source, whole, { ...plan, left, top, width, height }, mixingOf(config));
  if (width === plan.width && height === plan.height) return covered;

  const [red, green, blue] = paddingColour(source, config.fill);
  const out = new Uint8Array(plan.width * plan.height * 3);
  for (let i = 0; i < out.length; i += 3) {
    out[i] = red;
    out[i + 1] = green;
    out[i + 2] = blue;
  }
  for (let y = 0; y < height; y++) {
    const to = ((top - plan.top + y) * plan.width + left - plan.left) * 3;
    out.set(covered.subarray(y * width * 3, (y + 1) * width * 3), to);
  }
  return out;
}

export interface Augmentation {
  /** Smallest and largest part of the picture's area that a crop takes. open_clip trains with [0.9, 1]. */
  readonly scale: readonly [number, number];
  /** Mirror every second crop. Not where pictures hold text. */
  readonly flip: boolean;
}

/** Width over height of a random crop: torchvision's default. */
const aspectRatios = [3 / 4, 4 / 3] as const;

/**
 * A random part of the picture, resized to the crop's size and perhaps mirrored: RGB bytes `[height, width, 3]`.
 * `random` gives uniform numbers in [0, 1); the same numbers give the same crop.
 */
export function augmentPicture(
  picture: Picture,
  config: PreprocessConfig,
  { scale, flip }: Augmentation,
  random: () => number,
): Uint8Array {
  const source = config.convention !== "torchvision" ? onWhite(picture) : picture;
  const [height, width] = cropSize(config);
  const box = randomBox(source.width, source.height, scale, random);
  const target = { fullWidth: width, fullHeight: height, left: 0, top: 0, width, height };
  const crop = resizeToRgb(source, box, target, mixingOf(config));
  return flip && random() < 0.5 ? mirror(crop, width) : crop;
}

/** torchvision's `RandomResizedCrop.get_params`: ten tries, then the largest centred box of an allowed ratio. */
function randomBox(width: number, height: number, scale: readonly [number, number], random: () => number): Box {
  const uniform = (low: number, high: number): number => low + (high - low) * random();
  const [narrow, wide] = aspectRatios;
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = width * height * uniform(...scale);
    const ratio = Math.exp(uniform(Math.log(narrow), Math.log(wide)));
    const w = roundHalfEven(Math.sqrt(area * ratio));
    const h = roundHalfEven(Math.sqrt(area / ratio));
    if (w < 1 || h < 1 || w > width || h > height) continue;
    const top = Math.floor(random() * (height - h + 1));
    const left = Math.floor(random() * (width - w + 1));
    return { left, top, width: w, height: h };
  }
  const w = Math.min(width, Math.max(1, roundHalfEven(height * wide)));
  const h = Math.min(height, Math.max(1, roundHalfEven(width / narrow)));
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

const mixingOf = ({ interpolation, convention }: PreprocessConfig): Mixing => ({
  interpolation,
  library: convention === "transformers-fast" ? "torch" : "pillow",
});

/** Pillow's `crop(box)`, `resize`, then the target's part of it as RGB. */
function resizeToRgb(picture: Picture, box: Box, target: Target, mixing: Mixing): Uint8Array {
  const { mode } = picture;
  const channels = channelsOf[mode];
  const shape = { width: target.width, height: target.height };
  if (mode === "I;16") {
    const data = resample16({ data: picture.data, stride: picture.width, channels, ...box }, target, mixing);
    return toRgb({ ...shape, mode, data });
  }
  const source = { data: picture.data, stride: picture.width, channels, ...box };
  if (mode === "1" || mode === "P") return toRgb({ ...shape, mode, data: resampleNearest(source, target) });

  const sameSize = box.width === target.fullWidth && box.height === target.fullHeight;
  if ((mode === "LA" || mode === "RGBA") && !sameSize) {
    const alpha = mode === "LA" ? 2 : 4;
    const data = resample({ ...source, data: premultiply(source.data, alpha) }, target, mixing);
    unpremultiply(data, alpha);
    return toRgb({ ...shape, mode, data });
  }
  return toRgb({ ...shape, mode, data: resample(source, target, mixing) });
}

/** The picture as RGB, laid on white where it is transparent: what transformers 5 does before anything else. */
function onWhite(picture: Picture): Picture {
  const { mode, width, height } = picture;
  const rgb = toRgb(picture);
  const alpha = alphaOf(picture);
  if (alpha === undefined) return { mode: "RGB", width, height, data: rgb };
  const data = new Uint8Array(rgb.length);
  for (let i = 0; i < rgb.length; i++) data[i] = blendOnWhite(rgb[i]!, alpha[Math.trunc(i / 3)]!);
  return { mode: "RGB", width, height, data };

  function alphaOf({ data, opacity }: Picture): ArrayLike<number> | undefined {
    if (mode !== "LA" && mode !== "RGBA") return opacity;
    const channels = channelsOf[mode];
    return Uint8Array.from({ length: width * height }, (_, i) => data[i * channels + channels - 1]!);
  }
}

/** Pillow's `AlphaComposite.c` on an opaque white background: 7 extra bits of precision, rounded. */
function blendOnWhite(value: number, alpha: number): number {
  const sum = value * (alpha << 7) + 255 * ((255 - alpha) << 7) + (0x80 << 7);
  return ((sum >> 8) + sum) >> 15;
}

/** Each row of an RGB crop turned around. */
function mirror(crop: Uint8Array, width: number): Uint8Array {
  const out = new Uint8Array(crop.length);
  for (let row = 0; row < crop.length; row += width * 3) {
    for (let x = 0; x < width; x++) {
      const from = row + (width - 1 - x) * 3;
      out[row + x * 3] = crop[from]!;
      out[row + x * 3 + 1] = crop[from + 1]!;
      out[row + x * 3 + 2] = crop[from + 2]!;
    }
  }
  return out;
}
