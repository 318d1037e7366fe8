/**
 * @file What happens to a text before it is split into words: repair, HTML, white space, case. Follows OpenAI's
 * `basic_clean` and `whitespace_clean`, and open_clip's three kinds of cleaning.
 */
import { pythonLower, pythonSplit } from "./python.js";
import { fixText } from "./repair/fixText.js";
import { unescapeHtml } from "./repair/html.js";

/** The kinds of cleaning by name. */
export const textCleanings = ["lower", "whitespace", "canonicalize", "huggingface"] as const;

/**
 * How a text is cleaned. "lower" is OpenAI's way, and open_clip's unless a config says otherwise: repair, collapse white
 * space, lower-case. "whitespace" keeps the case, "canonicalize" also removes punctuation (CLIPA). "huggingface" is what
 * transformers' CLIPTokenizer does: no repair and no HTML, only NFC, white space and lower case.
 */
export type TextCleaning = (typeof textCleanings)[number];

const cleanings: { readonly [C in TextCleaning]: (text: string) => string } = {
  lower: (text) => pythonLower(collapse(repair(text))),
  whitespace: (text) => collapse(repair(text)),
  canonicalize: (text) =>
    collapse(
      pythonLower(
        repair(text)
          .replaceAll("_", " ")
          .replace(/[!-/:-@[-`{-~]/g, ""),
      ),
    ),
  huggingface: (text) => lowerEach(text.normalize("NFC").replace(/\p{White_Space}+/gu, " ")),
};

/** The text that is split into words. */
export function cleanText(text: string, clean: TextCleaning = "lower"): string {
  return cleanings[clean](text);
}

/** ASCII without "&" and without the control characters that repair removes: there is nothing to repair. */
const needsNoRepair = /^[\t\n\f\r -%'-~]*$/;

function repair(text: string): string {
  return needsNoRepair.test(text) ? text : unescapeHtml(unescapeHtml(fixText(text)));
}

function collapse(text: string): string {
  return pythonSplit(text).join(" ");
}

/** Lower case without regard to context: a final sigma is "σ" too. */
function lowerEach(text: string): string {
  return text.replace(/Σ/g, "σ").toLowerCase();
}
