/**
 * @file How a text is split into words before BPE, which never joins symbols across them. Follows the expression of
 * OpenAI's `simple_tokenizer.py`, which Python's `regex` package runs with IGNORECASE:
 * `'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`, with the special tokens before it.
 *
 * JavaScript's own `i` flag folds differently, so case is spelled out here. Two oddities of the original are kept: an
 * apostrophe and U+017F (long s) are a contraction, and U+0345 (combining iota) matches nothing and vanishes.
 */
import { cleanText, type TextCleaning } from "./clean.js";

/** From a text as it was given to its words; special tokens are words. */
export type SplitWords = (text: string) => readonly string[];

const contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

export function splitWords(specialTokens: readonly string[], clean: TextCleaning): SplitWords {
  if (clean === "huggingface") return splitWordsAsHuggingFace(specialTokens);
  const literals = [...specialTokens, ...contractions].map(anyCase).join("|");
  const words = new RegExp(`${literals}|\\p{L}+|\\p{N}|[^\\p{White_Space}\\p{L}\\p{N}\\u0345]+`, "gu");
  return (text) => cleanText(text, clean).match(words) ?? [];
}

/** transformers' CLIPTokenizer: the same expression as it stands, and special tokens are found before cleaning. */
function splitWordsAsHuggingFace(specialTokens: readonly string[]): SplitWords {
  const special = new RegExp(`(${specialTokens.map(escapeLiteral).join("|")})`, "u");
  const words = new RegExp(`${contractions.join("|")}|\\p{L}+|\\p{N}|[^\\p{White_Space}\\p{L}\\p{N}]+`, "gu");
  return (text) =>
    text
      .split(special)
      .flatMap((part, i) => (i % 2 === 1 ? [part] : (cleanText(part, "huggingface").match(words) ?? [])));
}

/** Letters that IGNORECASE holds equal beyond ASCII's pairs. */
const foldsToo: Readonly<Record<string, string>> = { s: "ſ", k: "\u212a" };

function anyCase(literal: string): string {
  return Array.from(literal, (character) => {
    const lower = character.toLowerCase();
    return /[a-z]/.test(lower) ? `[${lower}${lower.toUpperCase()}${foldsToo[lower] ?? ""}]` : escapeLiteral(character);
  }).join("");
}

function escapeLiteral(literal: string): string {
  return literal.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
