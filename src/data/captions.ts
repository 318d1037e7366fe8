/**
 * @file Captions as they come: from `.txt` and `.json` files of a sample, from names of classes put into templates, and
 * all captions of a source one after the other (to train a tokenizer on).
 */
import { DiptychError } from "../errors.js";
import type { ClassName, Source } from "./source.js";

/** The templates' default: the CLIP paper's prompt (§3.1.4). */
export const plainTemplates = ["a photo of a {}"] as const;

/** Blank captions dropped, the others as they are: cleaning is the tokenizer's. A lone text counts as a list of one. */
export function captionList(value: unknown): string[] {
  const list: unknown[] = Array.isArray(value) ? value : [value];
  return list.filter((item) => typeof item === "string").filter((item) => item.trim() !== "");
}

/**
 * The captions in a sample's text file: the whole of a `.txt`, or of a `.json` the value under `field`, or under "caption"
 * or "captions".
 * @throws DiptychError "UnreadableCaption"
 */
export function readCaptions(bytes: Uint8Array, kind: "txt" | "json", key: string, field?: string): string[] {
  const unreadable = (what: string): DiptychError =>
    new DiptychError("UnreadableCaption", `The caption of ${key} ${what}.`, "Correct it, or leave the sample out.");

  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw unreadable("is not UTF-8");
  }
  if (kind === "txt") {
    if (text.trim() === "") throw unreadable("is empty");
    return [text];
  }
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch {
    throw unreadable("is not JSON");
  }
  if (typeof record !== "object" || record === null) throw unreadable("is no JSON object");
  const fields = field === undefined ? ["caption", "captions"] : [field];
  const captions = fields.flatMap((name) => captionList((record as Record<string, unknown>)[name]));
  if (captions.length === 0) throw unreadable(`has no text under ${fields.map((name) => `"${name}"`).join(" or ")}`);
  return captions;
}

/** For each class all its names in all templates: the captions of its pictures. */
export function classCaptions(classes: readonly ClassName[], templates: readonly string[]): string[][] {
  return classes.map(({ names }) =>
    templates.flatMap((template) => names.map((name) => template.replaceAll("{}", () => name))),
  );
}

/**
 * Every caption of a source, read without pictures; a class's captions come once. Samples whose captions cannot be read
 * are passed over (training reports them).
 */
export async function* captions(source: Source): AsyncGenerator<string> {
  const seen = new WeakSet<readonly string[]>(); // samples of one class share one list
  for (let index = 0; index < source.length; index++) {
    let list: readonly string[];
    try {
      list = await source.captions(index);
    } catch (error) {
      if (error instanceof DiptychError) continue;
      throw error;
    }
    if (seen.has(list)) continue;
    seen.add(list);
    yield* list;
  }
}
