/** @file Texts and classes that a user names, as arguments or in files. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { DiptychError } from "../errors.js";
import { textLines } from "./lines.js";

export interface TextOptions {
  readonly text?: readonly string[];
  readonly textsFile?: string;
}

/** Of `--text` and `--texts-file`. */
export async function givenTexts({ text = [], textsFile }: TextOptions): Promise<string[]> {
  return [...text, ...(textsFile === undefined ? [] : await textLines(textsFile))];
}

export interface ClassOptions {
  readonly classes?: string;
  readonly classesFile?: string;
}

const namesSchema = z.union([
  z.array(z.string()),
  z.record(z.string(), z.string()).transform((map) => Object.values(map)),
]);

/** Of `--classes a,b,c` or `--classes-file`: a name a line, or JSON (a list of names, or an object of them). */
export async function givenClasses({ classes, classesFile }: ClassOptions): Promise<string[]> {
  if (classes !== undefined)
    return classes
      .split(",")
      .map((name) => name.trim())
      .filter(Boolean);
  if (classesFile === undefined) {
    throw new DiptychError(
      "NoClasses",
      "There are no classes.",
      'Name them: --classes "cat,dog,car", or --classes-file FILE.',
    );
  }
  if (!classesFile.endsWith(".json")) return textLines(classesFile);
  const parsed = namesSchema.safeParse(await readJson(classesFile));
  if (parsed.success) return parsed.data;
  throw new DiptychError("NoClasses", `${classesFile} is no list of names.`, 'Write ["cat", "dog"] or {"n01": "cat"}.');
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new DiptychError("NoSuchFile", `${file} cannot be read.`, "Check the path.", { cause });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DiptychError("BadJson", `${file} is no JSON.`, "Correct the file.", { cause });
  }
}
