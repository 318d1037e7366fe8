/**
 * @file Text repair before tokenisation: CLIP's references run `ftfy.fix_text` on every caption, so other captions have
 * other ids without it. Follows ftfy 6.3.1 (Robyn Speer, Apache-2.0) with its default settings, to the same answers.
 * Leaves out that lines of more than a million characters are repaired in pieces.
 */
import { composed } from "../python.js";
import { unescapeClearHtml } from "./html.js";
import { fixControls, fixEncoding } from "./mojibake.js";

/** Repairs a text line by line. A "<" means HTML: from its line on, character references are left alone. */
export function fixText(text: string): string {
  const html = text.indexOf("<");
  const plainEnd = html === -1 ? text.length : text.lastIndexOf("\n", html) + 1;
  let position = 0;
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      const plain = position < plainEnd;
      position += line.length;
      return fixLine(line, plain);
    })
    .join("");
}

/** Steps in order; a round of them may uncover work for the next. */
const steps: readonly ((line: string) => string)[] = [
  fixEncoding,
  fixControls,
  // Ligatures that fonts should make, and digraphs of old encodings.
  (line) => line.replace(/[ĲĳŉǄ-ǌǱ-ǳﬀ-ﬆ]/g, (ligature) => (ligature === "ﬅ" ? "ſt" : ligature.normalize("NFKC"))),
  // Full-width Latin, half-width Katakana and Hangul.
  (line) => line.replace(/[\u3000\uff01-\uffef]/g, (wide) => wide.normalize("NFKC")),
  (line) => line.replace(/[“-‟]/g, '"').replace(/[ʼ‘-‛]/g, "'"),
  (line) => line.replace(/\r\n|[\r\u2028\u2029\x85]/g, "\n"),
  (line) => line.replace(/\p{Surrogate}/gu, "\ufffd"),
  // A terminal's colours.
  (line) => line.replace(/\x1b\[[\p{Nd};]*[a-zA-Z]/gu, ""),
  (line) => line.replace(/[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, ""),
  composed,
];

function fixLine(line: string, plain: boolean): string {
  for (;;) {
    const before = line;
    if (plain) line = unescapeClearHtml(line);
    for (const step of steps) line = step(line);
    if (line === before) return line;
  }
}
