/**
 * @file What the decoder does not tell about a PNG or GIF, read from its header: the mode in which Pillow would open it
 * and its palette. Leaves out: palettes of TIFF files, which count as RGB.
 */
import type { PictureMode } from "./picture.js";

export interface Header {
  readonly mode: PictureMode;
  /** RGB triples. */
  readonly palette?: Uint8Array;
  /** The colour that a GIF's transparent pixels have in its palette, which the decoder does not keep. */
  readonly hiddenColour?: Uint8Array;
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Mode by PNG colour type; depths of 1 and 16 bits change that of grey. */
const pngModes: readonly (PictureMode | undefined)[] = ["L", undefined, "RGB", "P", "LA", undefined, "RGBA"];

/** Reads the header of a PNG: IHDR and, for a palette, PLTE. */
export function readPngHeader(bytes: Uint8Array): Header | undefined {
  const data = view(bytes);
  if (bytes.length < 33) return undefined;
  const depth = bytes[24];
  const mode = pngModes[bytes[25]!];
  if (mode === undefined) return undefined;
  if (mode === "L") return { mode: depth === 1 ? "1" : depth === 16 ? "I;16" : "L" };
  if (mode !== "P") return { mode };
  for (let at = 33; at + 8 <= bytes.length; ) {
    const length = data.getUint32(at);
    const isPalette = data.getUint32(at + 4) === 0x504c5445; // "PLTE"
    if (isPalette) return { mode, palette: bytes.slice(at + 8, at + 8 + length) };
    at += length + 12;
  }
  return { mode };
}

/** Reads the header of a GIF up to its first picture. */
export function readGifHeader(bytes: Uint8Array): Header | undefined {
  if (bytes.length < 13) return undefined;
  const tableAt = (at: number, flags: number): Uint8Array | undefined =>
    flags & 0x80 ? bytes.slice(at, at + 3 * (2 << (flags & 7))) : undefined;
  const global = tableAt(13, bytes[10]!);
  let transparent = 0;
  for (let at = 13 + (global?.length ?? 0); at + 10 <= bytes.length; ) {
    if (bytes[at] === 0x2c) {
      const palette = tableAt(at + 10, bytes[at + 9]!) ?? global;
      if (palette === undefined) return undefined;
      const hiddenColour = palette.subarray(3 * transparent, 3 * transparent + 3);
      return { mode: isGreyRamp(palette) ? "L" : "P", palette, hiddenColour };
    }
    if (bytes[at] !== 0x21) return undefined;
    const isGraphicControl = bytes[at + 1] === 0xf9;
    if (isGraphicControl && bytes[at + 3]! & 1) transparent = bytes[at + 6]!;
    // Skip the extension's blocks: each begins with its length, and an empty one ends them.
    at += 2;
    while (bytes[at]) at += bytes[at]! + 1;
    at += 1;
  }
  return undefined;
}

/** A palette that only says "colour i is grey i": Pillow takes such a picture for a grey one. */
export const isGreyRamp = (palette: Uint8Array): boolean => palette.every((value, i) => value === Math.trunc(i / 3));
