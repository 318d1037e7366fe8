/**
 * @file Pairs from a table: a row names a picture file and its caption. Rows of one picture are one sample with several
 * captions, so that a picture never stands twice in a batch as its own negative.
 */
import { readFile, stat } from "node:fs/promises";
import path from "node:path";
import { DiptychError } from "../errors.js";
import { captionList } from "./captions.js";
import { isMissing, readPictureFile } from "./pictureFile.js";
import type { Source } from "./source.js";
import type { CaptionTableSpec, TableSpec } from "./spec.js";
import { parseTable } from "./table.js";

const pictureColumns = ["filepath", "path", "image", "image_path", "file_name", "filename", "picture", "key"];
const captionColumns = ["title", "caption", "captions", "text"];
const largestTable = 400 * 1024 * 1024; // bytes: JavaScript's strings end at 512 MiB

export interface CaptionTable {
  /** What the picture column says → its captions, in the order of rows. */
  readonly captions: ReadonlyMap<string, readonly string[]>;
  readonly problems: readonly string[];
}

/** @throws DiptychError "MissingFile", "TableTooLarge", "UnknownColumn", "EmptyTable", "UnreadableTable" */
export async function readCaptionTable(spec: CaptionTableSpec, base: string): Promise<CaptionTable> {
  const file = path.resolve(base, spec.table);
  const table = parseTable(await readTableFile(file), spec.table, spec.separator);
  const pictureColumn = findColumn(table.columns, spec.picture, pictureColumns, "picture", spec.table);
  const captionColumn = findColumn(table.columns, spec.caption, captionColumns, "caption", spec.table);

  const captions = new Map<string, string[]>();
  const incomplete: number[] = [];
  for (const { line, values } of table.rows) {
    const picture = values[pictureColumn];
    const texts = captionList(values[captionColumn]);
    if ((typeof picture !== "string" && typeof picture !== "number") || picture === "" || texts.length === 0) {
      incomplete.push(line);
      continue;
    }
    const known = captions.get(String(picture));
    if (known) known.push(...texts);
    else captions.set(String(picture), texts);
  }
  const problems = [...table.problems];
  if (incomplete.length) {
    problems.push(
      `${spec.table}: ${incomplete.length} rows lack a picture or caption (the first in line ${incomplete[0]}).`,
    );
  }
  return { captions, problems };
}

async function readTableFile(file: string): Promise<string> {
  try {
    if ((await stat(file)).size > largestTable) {
      const problem = `The table ${file} is larger than 400 MiB.`;
      throw new DiptychError("TableTooLarge", problem, "Split it into several, or pack the pairs into tar shards.");
    }
    return await readFile(file, "utf8");
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
    throw new DiptychError("MissingFile", `The table ${file} cannot be read.`, "Check its path.", { cause });
  }
}

/** The column that the user named, or the only one with a usual name; guessing between two is refused. */
function findColumn(
  columns: readonly string[],
  named: string | undefined,
  usual: readonly string[],
  option: "picture" | "caption",
  label: string,
): string {
  const found = named === undefined ? columns.filter((column) => usual.includes(column)) : [named];
  if (found.length === 1 && columns.includes(found[0]!)) return found[0]!;
  const what =
    named === undefined
      ? found.length
        ? `several columns that may hold the ${option}`
        : `no ${option} column`
      : `no column "${named}"`;
  throw new DiptychError(
    "UnknownColumn",
    `${label} has ${what}; its columns are ${columns.map((column) => `"${column}"`).join(", ")}.`,
    `Say which one with "${option}".`,
  );
}

/** Opens a table of picture files. `base` is the folder that relative paths start from. */
export async function openTable(spec: TableSpec, base: string): Promise<Source> {
  const { captions, problems } = await readCaptionTable(spec, base);
  const root = spec.root === undefined ? path.dirname(path.resolve(base, spec.table)) : path.resolve(base, spec.root);
  const samples = [...captions];
  return {
    name: spec.table,
    length: samples.length,
    classes: [],
    problems,
    read: async (index) => {
      const [key, texts] = samples[index]!;
      return { key, image: await readPictureFile(path.resolve(root, key)), captions: texts };
    },
    captions: async (index) => samples[index]![1],
    close: async () => {},
  };
}
