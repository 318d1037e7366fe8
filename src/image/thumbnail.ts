/** @file A picture small enough to lie inside a page. */
import sharp from "sharp";

/** Twice the size that pages show it at, for sharp screens. */
const side = 144;

/** A square data URI of a picture file, transparent parts white. */
export async function thumbnail(picture: string | Uint8Array): Promise<string> {
  const jpeg = await sharp(picture)
    .rotate()
    .resize(side, side, { fit: "cover" })
    .flatten({ background: "#fff" })
    .jpeg({ quality: 82 })
    .toBuffer();
  return `data:image/jpeg;base64,${jpeg.toString("base64")}`;
}
