/**
 * @file The files that hold a tokenizer, as text in and text out: `merges.txt` and `vocab.json` as Hugging Face writes
 * them for CLIP, and `tokenizer.json` that holds both. Leaves out whatever is not byte-level BPE with `</w>`.
 */
import { DiptychError } from "../errors.js";
import type { TextCleaning } from "./clean.js";
import { type BpeTokenizer, createTokenizer, type Merge } from "./tokenizer.js";

/** Reads a `merges.txt`, one "left right" a line; a first line that names a version is skipped. Throws `BadMerges`. */
export function parseMerges(text: string): Merge[] {
  const merges: Merge[] = [];
  text.split(/\r?\n/).forEach((line, index) => {
    if (line === "" || (index === 0 && line.includes("#version"))) return;
    merges.push(parseMerge(line.split(" "), `Line ${index + 1} of the merges`));
  });
  return merges;
}

function parseMerge(value: unknown, place: string): Merge {
  if (Array.isArray(value) && value.length === 2) {
    const [left, right]: unknown[] = value;
    if (typeof left === "string" && typeof right === "string" && left !== "" && right !== "") return [left, right];
  }
  throw new DiptychError(
    "BadMerges",
    `${place} is not two symbols: ${JSON.stringify(value).slice(0, 80)}.`,
    "Give the merges of a byte-level BPE.",
  );
}

/** The text of a `merges.txt`. */
export function formatMerges(merges: readonly Merge[]): string {
  return `#version: 0.2\n${merges.map(([left, right]) => `${left} ${right}\n`).join("")}`;
}

/** The text of a `vocab.json`: every symbol and its id, in the order of the ids. */
export function formatVocabulary(tokenizer: BpeTokenizer): string {
  return JSON.stringify(Object.fromEntries([...tokenizer.vocabulary].sort(([, a], [, b]) => a - b)));
}

export interface TokenizerFiles {
  /** Text of `vocab.json`; it decides the ids. */
  readonly vocabulary: string;
  /** Text of `merges.txt`. */
  readonly merges: string;
  readonly startToken?: string;
  readonly endToken?: string;
  readonly clean?: TextCleaning;
}

/** The tokenizer of a folder with `vocab.json` and `merges.txt`. Throws `BadVocabulary`, `BadMerges`. */
export function readTokenizerFiles({ vocabulary, merges, ...options }: TokenizerFiles): BpeTokenizer {
  return createTokenizer({
    ...options,
    vocabulary: toVocabulary(parseJson(vocabulary, "vocab.json")),
    merges: parseMerges(merges),
  });
}

function parseJson(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DiptychError("BadVocabulary", `${name} is not JSON.`, "Give the file as it was saved.", { cause });
  }
}

/** Ids are indices into an embedding: whole, from 0, each once, and not far beyond their number. */
function toVocabulary(value: unknown): Map<string, number> {
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
  const limit = 2 * entries.length + 1024;
  const ids = new Set<number>();
  for (const [symbol, id] of entries) {
    if (!Number.isInteger(id) || id < 0 || id > limit || ids.has(id)) {
      throw new DiptychError(
        "BadVocabulary",
        `The vocabulary gives ${JSON.stringify(symbol)} the id ${JSON.stringify(id)}.`,
        "Ids must be whole numbers from 0 that occur once.",
      );
    }
    ids.add(id);
  }
  return new Map(entries);
}
