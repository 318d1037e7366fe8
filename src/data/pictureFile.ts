/**
 * @file Picture files on disk: which names count as pictures, and reading one.
 */
import { readFile, stat } from "node:fs/promises";
import { DiptychError } from "../errors.js";

const pictureExtensions = new Set(["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"]);

/** @param extension without its dot, in any case */
export function isPicture(extension: string): boolean {
  return pictureExtensions.has(extension.toLowerCase());
}

/** Bytes of one encoded picture; more is an accident. */
export const largestPicture = 512 * 1024 * 1024;

/** @throws DiptychError "MissingPicture" when the file is absent or not for us to read, "PictureTooLarge" */
export async function readPictureFile(file: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(file);
    if (size > largestPicture) {
      throw new DiptychError(
        "PictureTooLarge",
        `The picture ${file} has ${size} bytes.`,
        "Leave it out, or shrink it.",
      );
    }
    return await readFile(file);
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
    throw new DiptychError("MissingPicture", `The picture ${file} cannot be read.`, "Check its path.", { cause });
  }
}

/** Whether a path is wrong, rather than the machine in trouble. */
export function isMissing(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR" || code === "EACCES" || code === "ENAMETOOLONG";
}
