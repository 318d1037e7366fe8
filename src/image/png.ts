/** @file Crops as PNG, for people to look at. */
import { rename, writeFile } from "node:fs/promises";
import sharp from "sharp";

/** RGB bytes `[height, width, 3]` as a PNG file's bytes. */
export const encodePng = (crop: Uint8Array, width: number, height: number): Promise<Uint8Array> =>
  sharp(crop, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();

/** Writes RGB bytes `[height, width, 3]`; beside first and then renamed, so that no half file is ever seen. */
export async function writePng(path: string, crop: Uint8Array, width: number, height: number): Promise<void> {
  const png = await encodePng(crop, width, height);
  const beside = `${path}.${process.pid}.partial`;
  await writeFile(beside, png);
  await rename(beside, path);
}
