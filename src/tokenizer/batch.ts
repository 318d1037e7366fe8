/**
 * @file Texts to the integer matrix that a text tower reads: start token, ids, end token, then padding.
 * Follows OpenAI's `clip.tokenize`; unlike it, rows are only as long as the batch's longest text unless asked, since a
 * causal tower's answer does not depend on what comes after the end token.
 */
import { DiptychError } from "../errors.js";
import type { Tokenizer } from "./tokenizer.js";

export interface TokenizeOptions {
  /** Tokens that the model reads at most, start and end included: 77 for CLIP. */
  readonly contextLength: number;
  /** Cuts longer texts, the last token staying the end token. Without it a longer text is an error. */
  readonly truncate?: boolean;
  /** "longest" (unless given) pads to the batch's longest text, "context" to the context length. */
  readonly padTo?: "longest" | "context";
}

/** Token ids of M texts, [M, L] int32. Throws `TextTooLong`, which names the text, its token count and the limit. */
export function tokenize(
  tokenizer: Tokenizer,
  texts: readonly string[],
  options: TokenizeOptions,
): { data: Int32Array; shape: [number, number] } {
  const { contextLength, truncate = false, padTo = "longest" } = options;
  const rows = texts.map((text, index) => {
    const { ids, length } = markedIds(tokenizer, text, contextLength);
    if (length > contextLength && !truncate) throw textTooLong(text, index, length, contextLength);
    return ids;
  });
  const length = padTo === "context" ? contextLength : rows.reduce((longest, row) => Math.max(longest, row.length), 0);
  const data = new Int32Array(rows.length * length).fill(tokenizer.padId);
  rows.forEach((row, index) => {
    data.set(row, index * length);
  });
  return { data, shape: [rows.length, length] };
}

/** A text's ids between its markers, cut to the context so that the end marker stays; and how many they were. */
export function markedIds(
  { startId, endId, encode }: Tokenizer,
  text: string,
  contextLength: number,
): { ids: number[]; length: number } {
  const start = startId === null ? [] : [startId];
  const end = endId === null ? [] : [endId];
  const words = encode(text);
  const room = contextLength - start.length - end.length;
  return { ids: [...start, ...words.slice(0, room), ...end], length: start.length + words.length + end.length };
}

function textTooLong(text: string, index: number, tokens: number, limit: number): DiptychError {
  const beginning = Array.from(text).slice(0, 40).join("");
  return new DiptychError(
    "TextTooLong",
    `Text ${index} (${JSON.stringify(beginning === text ? text : `${beginning}…`)}) has ${tokens} tokens and this model reads ${limit}.`,
    "Shorten it, or pass { truncate: true }.",
  );
}
