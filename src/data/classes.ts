/**
 * @file Names of classes: from a JSON file or the recipe, or from the folders themselves; and which class a file belongs to.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { DiptychError, nearestName } from "../errors.js";
import type { ClassName } from "./source.js";
import type { ShardsSpec } from "./spec.js";

type ClassesSpec = NonNullable<ShardsSpec["classes"]>;

const classFileSchema = z.union([
  z.record(z.string(), z.union([z.string(), z.array(z.string())])),
  z.array(z.string()),
]);

/**
 * The classes that a recipe names, in its order.
 * @param base folder that a relative file name starts from
 * @throws DiptychError "MissingClasses" when the file is absent or no list of classes
 */
export async function readClasses(spec: ClassesSpec, base: string): Promise<ClassName[]> {
  const given = typeof spec === "string" ? await readClassFile(path.resolve(base, spec)) : spec;
  const named = Array.isArray(given)
    ? given.map((name) => ({ key: name, names: alternatives(name) }))
    : Object.entries(given).map(([key, names]) => ({ key, names: [names].flat().flatMap(alternatives) }));
  const nameless = named.find(({ names }) => names.length === 0);
  if (named.length === 0 || nameless) {
    const problem = nameless ? `The class "${nameless.key}" has no name.` : "The list of classes is empty.";
    throw new DiptychError("MissingClasses", problem, "Name every class.");
  }
  return named;
}

async function readClassFile(file: string): Promise<Exclude<ClassesSpec, string>> {
  const remedy = 'Give a JSON file such as { "n02124075": "Egyptian cat" } or ["cat", "dog"].';
  let json: unknown;
  try {
    json = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw new DiptychError("MissingClasses", `The names of classes in ${file} cannot be read.`, remedy, { cause });
  }
  const result = classFileSchema.safeParse(json);
  if (!result.success) throw new DiptychError("MissingClasses", `${file} is no list of classes.`, remedy);
  return result.data;
}

/** "cliff, drop, drop-off" are three names of one class. */
function alternatives(names: string): string[] {
  return names
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

/** Classes that are named by nothing but their folders: "tabby_cat" is called "tabby cat". */
export function classesOfFolders(folders: Iterable<string>): ClassName[] {
  return [...new Set(folders)].sort().map((key) => ({ key, names: [key.replace(/[_\s]+/g, " ").trim() || key] }));
}

/**
 * Finds labels: a class's key, or its number (a `.cls` entry of WebDataset).
 * @throws (from the returned function) DiptychError "UnknownClass"
 */
export function labelFinder(classes: readonly ClassName[]): (key: string, where: string) => number {
  const labels = new Map(classes.map(({ key }, label) => [key, label]));
  return (key, where) => {
    const label = labels.get(key) ?? (/^\d{1,9}$/.test(key) ? Number(key) : -1);
    if (label >= 0 && label < classes.length) return label;
    const near = nearestName(
      key,
      classes.slice(0, 5000).map((known) => known.key),
    );
    throw new DiptychError(
      "UnknownClass",
      key === ""
        ? `${where} lies in no folder and so has no class.`
        : `${where} is of class "${key}", which has no name.`,
      key === "" ? "Put each class in its own folder." : `Add it to the classes (the nearest there is "${near}").`,
    );
  };
}
