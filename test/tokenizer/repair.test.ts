import { readFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cleanText } from "../../src/tokenizer/index.js";
import { fixText } from "../../src/tokenizer/repair/fixText.js";
import { unescapeHtml } from "../../src/tokenizer/repair/html.js";
import { fixEncoding } from "../../src/tokenizer/repair/mojibake.js";
import { hasShared } from "../goldens.js";
import { readJsonLines } from "./jsonLines.js";

describe.skipIf(!hasShared)("text as the references repair it", () => {
  test("fix_text and fix_encoding give the same text", () => {
    const lines = readJsonLines<{ text: string; fixed: string; encoding_fixed?: string }>("fix");
    for (const { text, fixed, encoding_fixed } of lines) {
      expect(fixText(text), JSON.stringify(text)).toBe(fixed);
      if (encoding_fixed !== undefined) expect(fixEncoding(text), JSON.stringify(text)).toBe(encoding_fixed);
    }
  });

  test("html.unescape gives the same text for every name and every broken reference", () => {
    for (const { text, unescaped } of readJsonLines<{ text: string; unescaped: string }>("unescape")) {
      expect(unescapeHtml(text), JSON.stringify(text)).toBe(unescaped);
    }
  });

  test("each kind of cleaning gives the same text", () => {
    for (const { text, clean } of readJsonLines<{ text: string; clean: string }>("cases")) {
      expect(cleanText(text), JSON.stringify(text)).toBe(clean);
    }
    type Modes = Record<"text" | "canonicalize" | "lower" | "whitespace", string>;
    for (const { text, ...modes } of readJsonLines<Modes>("clean_modes")) {
      for (const mode of ["canonicalize", "lower", "whitespace"] as const) {
        expect(cleanText(text, mode), `${mode} ${JSON.stringify(text)}`).toBe(modes[mode]);
      }
    }
  });
});

test("garbled texts of every kind are repaired as ftfy repairs them", () => {
  const read: { lines: [string, string][] } = JSON.parse(
    readFileSync(path.join(import.meta.dirname, "repaired.json"), "utf8"),
  );
  expect(read.lines.length).toBeGreaterThan(300);
  for (const [text, fixed] of read.lines) expect(fixText(text), JSON.stringify(text)).toBe(fixed);
});

describe("text repair", () => {
  test.each([
    ["UTF-8 read as Windows-1252", "cafÃ© â€“ âœ” ok", "café – ✔ ok"],
    ["UTF-8 read as Windows-1252 twice", "lâ€šÃ„Ã´amour", "l'amour"],
    ["UTF-8 read as Mac Roman", "r√©gime", "régime"],
    ["a space that was the byte A0", "voilÃ le travail", "voilà le travail"],
    ["a byte that was lost", "â€œ like this â€\ufffd", '" like this \ufffd'],
    ["curly quotes, ligatures and wide letters", "“ﬁne” ＬＯＵＤ", '"fine" LOUD'],
    [
      "entities, capitals too, unless the text is HTML",
      "&eacute;&EACUTE;&amp;\n<b>&amp;\n&amp;",
      "éÉ&\n<b>&amp;\n&amp;",
    ],
    ["half of a surrogate's bytes before a line end", "í\xa0˝í±\n", "\u{1f44a}"],
    ["marks newer than the references' Unicode, which are letters to them", "A\u1add\u0301", "A\u1add\u0301"],
    ["control characters and terminal colours", "\x1b[31mred\x1b[0m\x00\ufeff!\r\n", "red!\n"],
  ])("%s", (_, text, fixed) => {
    expect(fixText(text)).toBe(fixed);
  });

  /** Pieces of what goes wrong with text. */
  const garbled = (without: RegExp) =>
    fc.string({
      unit: fc.constantFrom(
        ...Array.from("aé ÃÂâ€œ™©\u00a0\u0093ð\x9f&;lt#5x\u0301ﬁＡ“日🙂Ɵ┬├⌐\r\n\x85\x1b[m<").filter(
          (c) => !without.test(c),
        ),
      ),
      maxLength: 20,
    });

  // Of a whole text this is not true, in ftfy either: a line end that another one became parts lines that were one, and
  // a "<" that a reference became makes HTML of the text.
  test("leaves a repaired line as it is", () => {
    fc.assert(
      fc.property(garbled(/[\r\n\x85<]/), (line) => {
        const fixed = fixText(line);
        fc.pre(!fixed.includes("\n"));
        expect(fixText(fixed)).toBe(fixed);
      }),
      { numRuns: 1000 },
    );
  });

  test("repairs each line for itself, HTML from its line on", () => {
    fc.assert(
      fc.property(garbled(/</), garbled(/(?!)/), (line, rest) => {
        expect(fixText(`${line}\n${rest}`)).toBe(fixText(`${line}\n`) + fixText(rest));
      }),
    );
  });

  test("finds nothing to repair in plain ASCII, which therefore skips it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme-ascii", maxLength: 40 }), (text) => {
        fc.pre(!text.includes("&"));
        expect(unescapeHtml(fixText(text))).toBe(text);
      }),
    );
  });

  test("cleans long garbage in reasonable time", () => {
    for (const garbage of ["Ã ", "â€", "\xed\xa0", "&#x", "ð\x9f ", "\x1b[1;", "&EACUTE;", "А\u0301"]) {
      expect(cleanText(garbage.repeat(20_000)).length).toBeLessThanOrEqual(80_000 * 2);
    }
  });
});
