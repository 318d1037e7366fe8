/**
 * @file Pairs from class folders (`root/tabby_cat/1.jpg`): the captions are the class's names put into templates.
 */
import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { DiptychError } from "../errors.js";
import { classCaptions, plainTemplates } from "./captions.js";
import { classesOfFolders, labelFinder, readClasses } from "./classes.js";
import { isMissing, isPicture, readPictureFile } from "./pictureFile.js";
import type { Source } from "./source.js";
import type { FolderSpec } from "./spec.js";

/**
 * Opens a folder of class folders; pictures may lie deeper inside those. `base` is the folder that relative paths start from.
 * @throws DiptychError "MissingFile", "MissingClasses", "UnknownClass"
 */
export async function openFolder(spec: FolderSpec, base: string): Promise<Source> {
  const root = path.resolve(base, spec.folder);
  const folders = await classFolders(root);
  const classes = spec.classes === undefined ? classesOfFolders(folders) : await readClasses(spec.classes, base);
  const labelOf = labelFinder(classes);

  const samples: { readonly key: string; readonly label: number }[] = [];
  const problems: string[] = [];
  for (const folder of folders) {
    const label = labelOf(folder, `The folder ${path.join(root, folder)}`);
    const files = await readdir(path.join(root, folder), { recursive: true });
    const pictures = files.filter((file) => isPicture(path.extname(file).slice(1))).sort();
    if (pictures.length === 0) problems.push(`The folder ${path.join(root, folder)} holds no pictures.`);
    for (const picture of pictures) samples.push({ key: path.join(folder, picture), label });
  }

  const captionsOfLabel = classCaptions(classes, spec.templates ?? plainTemplates);
  return {
    name: spec.folder,
    length: samples.length,
    classes,
    problems,
    read: async (index) => {
      const { key, label } = samples[index]!;
      return { key, image: await readPictureFile(path.join(root, key)), captions: captionsOfLabel[label]!, label };
    },
    captions: async (index) => captionsOfLabel[samples[index]!.label]!,
    close: async () => {},
  };
}

async function classFolders(root: string): Promise<string[]> {
  const folders: string[] = [];
  try {
    for (const entry of (await readdir(root)).sort()) {
      if (!entry.startsWith(".") && (await stat(path.join(root, entry))).isDirectory()) folders.push(entry);
    }
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
    throw new DiptychError("MissingFile", `The folder ${root} cannot be read.`, "Check its path.", { cause });
  }
  if (folders.length > 0) return folders;
  throw new DiptychError(
    "MissingClasses",
    `${root} has no folders inside, so its pictures have no classes.`,
    "Put each class into its own folder, or give captions in a table.",
  );
}
