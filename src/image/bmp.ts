/**
 * @file Windows bitmaps, which sharp does not read: uncompressed, 1, 4 or 8 bits with a palette, 24 or 32 bits.
 * Leaves out run-length compression, bit fields and OS/2 headers.
 */
import { DiptychError } from "../errors.js";
import { isGreyRamp } from "./header.js";
import type { Picture } from "./picture.js";

export const isBmp = (bytes: Uint8Array): boolean => bytes[0] === 0x42 && bytes[1] === 0x4d;

const refuse = (name: string, what: string): never => {
  throw new DiptychError("UnreadablePicture", `${name} is a bitmap ${what}.`, "Save it as PNG.");
};

/** Reads a bitmap of at most `pixelLimit` pixels; the fourth byte of 32 bits is padding, as Pillow takes it. */
export function readBmp(bytes: Uint8Array, name: string, pixelLimit: number): Picture {
  if (bytes.length < 54) return refuse(name, "that ends within its header");
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pixelsAt = data.getUint32(10, true);
  const headerSize = data.getUint32(14, true);
  const width = data.getInt32(18, true);
  const signedHeight = data.getInt32(22, true);
  const depth = data.getUint16(28, true);
  const compression = data.getUint32(30, true);
  const height = Math.abs(signedHeight);
  if (headerSize < 40 || compression !== 0 || ![1, 4, 8, 24, 32].includes(depth)) {
    return refuse(name, `of a kind that is not read (header ${headerSize}, compression ${compression}, ${depth} bits)`);
  }
  if (width < 1 || height < 1 || width * height > pixelLimit)
    return refuse(name, `that claims ${width}×${height} pixels`);
  const stride = Math.ceil((width * depth) / 32) * 4;
  if (pixelsAt + stride * height > bytes.length) return refuse(name, "that is cut short");

  const palette = depth > 8 ? undefined : readPalette(bytes.subarray(14 + headerSize, pixelsAt));
  const out = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y++) {
    const row = pixelsAt + (signedHeight > 0 ? height - 1 - y : y) * stride;
    for (let x = 0; x < width; x++, to += 3) {
      if (palette) {
        const bit = x * depth;
        const index = (bytes[row + (bit >> 3)]! >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
        out.set(palette.subarray(index * 3, index * 3 + 3), to);
      } else {
        const from = row + x * (depth >> 3);
        out[to] = bytes[from + 2]!;
        out[to + 1] = bytes[from + 1]!;
        out[to + 2] = bytes[from]!;
      }
    }
  }
  if (!palette) return { mode: "RGB", width, height, data: out };
  const mode = isBlackAndWhite(palette) ? "1" : isGreyRamp(palette) ? "L" : "P";
  if (mode === "P") return { mode, width, height, data: out, palette };
  return { mode, width, height, data: out.filter((_, i) => i % 3 === 0) };
}

const isBlackAndWhite = (palette: Uint8Array): boolean =>
  palette.length === 6 && palette.every((value, i) => value === (i < 3 ? 0 : 255));

/** From blue, green, red, unused to RGB triples. */
function readPalette(entries: Uint8Array): Uint8Array {
  const colours = Math.min(256, entries.length >> 2);
  return Uint8Array.from({ length: colours * 3 }, (_, i) => entries[Math.trunc(i / 3) * 4 + 2 - (i % 3)]!);
}
