/**
 * @file Picture files to pictures, by sharp (libvips): samples as they are stored, in the mode that Pillow would open.
 * As the reference does, ignores colour profiles, gamma and (unless asked) EXIF orientation, and takes the first frame.
 */
import { readFile } from "node:fs/promises";
import sharp, { type Metadata, type Sharp } from "sharp";
import { DiptychError } from "../errors.js";
import { isBmp, readBmp } from "./bmp.js";
import { type Header, readGifHeader, readPngHeader } from "./header.js";
import type { Picture, PictureMode } from "./picture.js";

/** Pixels above which a picture is refused: Pillow's limit against decompression bombs. */
const pixelLimit = 178_956_970;

export interface DecodeOptions {
  /**
   * Turn the picture as its EXIF orientation says. Off by default, because OpenAI's and open_clip's preprocessing
   * ignore it, and the numbers must be theirs.
   */
  readonly autoOrient?: boolean;
  /** What errors call the picture; by default its path, or how many bytes it has. */
  readonly name?: string;
}

/**
 * Decodes a file, given by its path or as its bytes.
 * @throws DiptychError `UnreadablePicture`: not there, not a picture, cut short, or larger than 179 million pixels.
 */
export async function decodePicture(source: string | Uint8Array, options: DecodeOptions = {}): Promise<Picture> {
  const name = options.name ?? (typeof source === "string" ? source : `a picture of ${source.length} bytes`);
  try {
    const bytes = typeof source === "string" ? await readFile(source) : source;
    if (isBmp(bytes)) return readBmp(bytes, name, pixelLimit);
    const input = sharp(bytes, { limitInputPixels: pixelLimit, failOn: "error", ignoreIcc: true });
    const metadata = await input.metadata();
    return await readSamples(options.autoOrient ? input.autoOrient() : input, readHeader(bytes, metadata));
  } catch (cause) {
    if (cause instanceof DiptychError) throw cause;
    const reason = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new DiptychError(
      "UnreadablePicture",
      `${name} cannot be read as a picture (${reason}).`,
      "Check that it is a complete PNG, JPEG, WebP, GIF, TIFF, AVIF or BMP file.",
      { cause },
    );
  }
}

function readHeader(bytes: Uint8Array, metadata: Metadata): Header {
  const header =
    metadata.format === "png" ? readPngHeader(bytes) : metadata.format === "gif" ? readGifHeader(bytes) : undefined;
  return header ?? { mode: modeOf(metadata) };
}

/** The mode of a file whose samples show it. */
function modeOf({ space, channels, depth, isPalette, bitsPerSample }: Metadata): PictureMode {
  if (space === "cmyk") return "CMYK";
  if (isPalette) return "P";
  if (channels === 1) return bitsPerSample === 1 ? "1" : depth === "ushort" ? "I;16" : "L";
  return channels === 2 ? "LA" : channels === 4 ? "RGBA" : "RGB";
}

/** Where the channels of a mode lie in the samples that sharp gives: RGB or RGBA, ink, or 16-bit grey. */
const channelPlaces: Readonly<Record<PictureMode, readonly number[]>> = {
  "1": [0],
  L: [0],
  LA: [0, 3],
  P: [0, 1, 2],
  RGB: [0, 1, 2],
  RGBA: [0, 1, 2, 3],
  "I;16": [0],
  CMYK: [0, 1, 2, 3],
};

async function readSamples(input: Sharp, { mode, palette, hiddenColour }: Header): Promise<Picture> {
  const { data, info } = await rawSamples(input, mode).toBuffer({ resolveWithObject: true });
  const samples = new Uint8Array(data.buffer, data.byteOffset, data.length);
  const { width, height, channels } = info;
  if (mode === "I;16") {
    // Copied, because the buffer may start at an odd address.
    const wide = new Uint16Array(Uint8Array.from(samples).buffer);
    return {
      mode,
      width,
      height,
      data: pick(wide, channels, channelPlaces[mode], (length) => new Uint16Array(length)),
    };
  }
  if (hiddenColour && channels === 4) {
    for (let i = 0; i < samples.length; i += 4) if (samples[i + 3] === 0) samples.set(hiddenColour, i);
  }
  const places = channelPlaces[mode];
  const hasOpacity = channels === 4 && !places.includes(3);
  return {
    mode,
    width,
    height,
    data: pick(samples, channels, places, bytes),
    ...(palette && { palette }),
    ...(hasOpacity && { opacity: pick(samples, channels, [3], bytes) }),
  };
}

function rawSamples(input: Sharp, mode: PictureMode): Sharp {
  if (mode === "I;16") return input.toColourspace("grey16").raw({ depth: "ushort" });
  // Without the pipeline's space, ink would pass through RGB and back.
  if (mode === "CMYK") return input.pipelineColourspace("cmyk").toColourspace("cmyk").raw({ depth: "uchar" });
  return input.toColourspace("srgb").raw({ depth: "uchar" });
}

const bytes = (length: number) => new Uint8Array(length);

/** Those channels of each pixel that `places` names; the samples themselves where that is all of them. */
function pick<Samples extends Uint8Array | Uint16Array>(
  samples: Samples,
  channels: number,
  places: readonly number[],
  allocate: (length: number) => Samples,
): Samples {
  if (channels === places.length) return samples;
  const out = allocate((samples.length / channels) * places.length);
  let to = 0;
  for (let from = 0; from < samples.length; from += channels) {
    for (const place of places) out[to++] = samples[from + place]!;
  }
  return out;
}
