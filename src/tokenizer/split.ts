/**
 * @file How a text is split into words before BPE, which never joins symbols across them. Follows the expression of
 * OpenAI's `simple_tokenizer.py`, which Python's `regex` package runs with IGNORECASE:
 * `'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`, with the special tokens before it.
 *
 * JavaScript's own `i` flag folds differently, so case is spelled out here. Two oddities of the original are kept: an
 * apostrophe and U+017F (long s) are a contraction, and U+0345 (combining iota) matches nothing and vanishes.
 */

/** Letters that IGNORECASE holds equal beyond ASCII's pairs. */
const foldsToo: Readonly<Record<string, string>> = { s: "ſ", k: "K" };

const anyCase = (literal: string): string =>
  Array.from(literal, (character) => {
    const lower = character.toLowerCase();
    if (/[a-z]/.test(lower)) return `[${lower}${lower.toUpperCase()}${foldsToo[lower] ?? ""}]`;
    return character.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  }).join("");

const contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/** The expression that finds the words of a cleaned text; `specialTokens` are found whole, in any case. */
export function splitPattern(specialTokens: readonly string[]): RegExp {
  const literals = [...specialTokens, ...contractions].map(anyCase).join("|");
  return new RegExp(`${literals}|\\p{L}+|\\p{N}|[^\\p{White_Space}\\p{L}\\p{N}\\u0345]+`, "gu");
}
