/** @file Pictures that a user names: files, folders, lists of paths; and their embeddings, unreadable ones skipped. */
import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { DiptychError } from "../errors.js";
import { type Clip, type Matrix, rows } from "../tasks/index.js";
import { textLines } from "./lines.js";
import { notice } from "./output.js";
import { progressBar } from "./progress.js";

const pictureFile = /\.(?:jpe?g|png|webp|gif|tiff?|bmp|avif)$/i;

/**
 * Files as named; of folders every picture inside, at any depth, in the order of names, hidden ones aside; of "-" the
 * paths that standard input lists.
 */
export async function findPictures(names: readonly string[]): Promise<string[]> {
  const found = await Promise.all(names.map(async (name) => (name === "-" ? textLines("-") : picturesAt(name))));
  const pictures = found.flat();
  if (pictures.length === 0) {
    throw new DiptychError(
      "NoPictures",
      `There are no pictures in ${names.join(", ")}.`,
      "Name pictures, or a folder that has some.",
    );
  }
  return pictures;
}

async function picturesAt(name: string): Promise<string[]> {
  const status = await stat(name).catch((cause: unknown) => {
    throw new DiptychError("NoSuchFile", `${name} does not exist.`, "Check the path.", { cause });
  });
  if (!status.isDirectory()) return [name];
  const entries = await readdir(name, { recursive: true });
  return entries
    .filter((entry) => pictureFile.test(entry) && !entry.split(path.sep).some((part) => part.startsWith(".")))
    .sort()
    .map((entry) => path.join(name, entry));
}

export interface EmbeddedPictures {
  /** Those that could be read. */
  readonly pictures: readonly string[];
  /** Their embeddings, [N, E]. */
  readonly embeddings: Matrix;
  /** Those that could not, and why; told on standard error already. */
  readonly skipped: readonly { readonly picture: string; readonly problem: string }[];
}

export async function embedPictures(clip: Clip, pictures: readonly string[]): Promise<EmbeddedPictures> {
  const bar = progressBar(pictures.length, "pictures");
  const problems = new Map<number, string>();
  const all = await clip
    .embedImages(pictures, {
      onProgress: (done) => bar.update(done),
      onUnreadable: (error, index) => problems.set(index, error.problem.replace(/^Picture \d+: /, "")),
    })
    .finally(() => bar.stop());
  const skipped = [...problems].map(([index, problem]) => ({ picture: pictures[index]!, problem }));
  for (const { problem } of skipped) notice(`skipped: ${problem}`);
  if (skipped.length === pictures.length) {
    throw new DiptychError(
      "NoPictures",
      "None of the pictures could be read.",
      "Name pictures, or a folder that has some.",
    );
  }
  const kept = pictures.map((_, i) => i).filter((i) => !problems.has(i));
  return { pictures: kept.map((i) => pictures[i]!), embeddings: rows(all, kept), skipped };
}
