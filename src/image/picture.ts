/**
 * @file A decoded picture, and its modes: what Pillow would have opened, since how a picture is resized and turned into
 * RGB depends on that. Follows Pillow's `Convert.c`. Leaves out modes that no reader here gives (HSV, LAB, float).
 */

/** Values per pixel in `Picture.data`. */
export const channelsOf = {
  /** Two levels, stored as 0 and 255. */
  "1": 1,
  /** Grey. */
  L: 1,
  /** Grey and alpha. */
  LA: 2,
  /** From a palette. The colours are looked up already; that it was a palette decides how it is resized and padded. */
  P: 3,
  RGB: 3,
  RGBA: 4,
  /** Grey of 16 bits. */
  "I;16": 1,
  /** Ink: 0 is paper, 255 is full ink. */
  CMYK: 4,
} as const;

export type PictureMode = keyof typeof channelsOf;

interface PictureShape {
  readonly width: number;
  readonly height: number;
  /** The first colours of a palette, RGB triples: what a padding value means in mode P. */
  readonly palette?: Uint8Array;
  /** `[height, width]`, 255 opaque: transparency that is no channel of the mode (a transparent palette entry or key colour). */
  readonly opacity?: Uint8Array;
}

/** A decoded picture: `data` is interleaved `[height, width, channelsOf[mode]]`, alpha not multiplied in. */
export type Picture =
  | (PictureShape & { readonly mode: Exclude<PictureMode, "I;16">; readonly data: Uint8Array })
  | (PictureShape & { readonly mode: "I;16"; readonly data: Uint16Array });

/** `a·b / 255`, rounded, for a and b in 0..255. */
const multiply255 = (a: number, b: number): number => {
  const t = a * b + 128;
  return ((t >> 8) + t) >> 8;
};

/** The colours as RGB bytes `[height, width, 3]`, as Pillow's `convert("RGB")`: alpha is dropped, 16 bits are *clipped* at 255. */
export function toRgb(picture: Picture): Uint8Array {
  const { mode, data } = picture;
  if (mode === "RGB" || mode === "P") return data;
  const pixels = picture.width * picture.height;
  const channels = channelsOf[mode];
  const out = new Uint8Array(pixels * 3);
  for (let i = 0, from = 0, to = 0; i < pixels; i++, from += channels, to += 3) {
    switch (mode) {
      case "RGBA":
        out[to] = data[from]!;
        out[to + 1] = data[from + 1]!;
        out[to + 2] = data[from + 2]!;
        break;
      case "CMYK": {
        const light = 255 - data[from + 3]!;
        for (let c = 0; c < 3; c++) out[to + c] = Math.max(0, light - multiply255(data[from + c]!, light));
        break;
      }
      default:
        out[to] = out[to + 1] = out[to + 2] = Math.min(255, data[from]!);
    }
  }
  return out;
}

/** The RGB colour that a padding of `value` in every channel has in a picture of this mode. */
export function paddingColour(picture: Picture, value: number): readonly [number, number, number] {
  switch (picture.mode) {
    case "1":
      return value > 0 ? [255, 255, 255] : [0, 0, 0];
    case "P": {
      const [r = 0, g = 0, b = 0] = picture.palette?.subarray(3 * value, 3 * value + 3) ?? [];
      return [r, g, b];
    }
    case "CMYK": {
      const light = 255 - value;
      const ink = Math.max(0, light - multiply255(value, light));
      return [ink, ink, ink];
    }
    default:
      return [value, value, value];
  }
}

/** Alpha multiplied into the colours, as resampling needs it: a transparent pixel's hidden colour must not bleed. */
export function premultiply(data: Uint8Array, channels: 2 | 4): Uint8Array {
  const out = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += channels) {
    const alpha = data[i + channels - 1]!;
    for (let c = 0; c < channels - 1; c++) out[i + c] = multiply255(data[i + c]!, alpha);
    out[i + channels - 1] = alpha;
  }
  return out;
}

/** Undoes `premultiply`, in place; rounds down, as Pillow does. */
export function unpremultiply(data: Uint8Array, channels: 2 | 4): void {
  for (let i = 0; i < data.length; i += channels) {
    const alpha = data[i + channels - 1]!;
    if (alpha === 0 || alpha === 255) continue;
    for (let c = 0; c < channels - 1; c++) data[i + c] = Math.min(255, Math.trunc((255 * data[i + c]!) / alpha));
  }
}
