/**
 * @file Undoes wrong decoding: UTF-8 that was read with a single-byte encoding ("cafÃ©" for "café"), even when bytes were
 * lost or changed on the way. Follows ftfy 6.3.1's `fix_encoding` (Robyn Speer, Apache-2.0) to the same answers; leaves
 * out its explanations.
 */
import { looksMisdecoded } from "./badness.js";
import { type CodePage, codePages, decodeUtf8, decodeUtf8Variants, encode, windows1252 } from "./codePages.js";

/** Repairs a text until nothing is left to repair: text is sometimes decoded wrongly twice. */
export function fixEncoding(text: string): string {
  for (;;) {
    const fixed = fixOnce(text);
    if (fixed === text) return text;
    text = fixed;
  }
}

function fixOnce(text: string): string {
  if (isAscii(text) || !looksMisdecoded(text)) return text;
  for (const page of codePages) {
    const decoded = redecode(text, page);
    if (decoded !== undefined) return decoded;
  }
  const patched = fixEmbedded(text);
  return patched === text ? fixControls(text) : patched;
}

const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text);

/** The text as UTF-8, if `page` was what it was mistaken for. */
function redecode(text: string, page: CodePage): string | undefined {
  let bytes = encode(text, page);
  if (bytes === undefined) return undefined;
  // In Mac Roman the byte A0 is no space, and an en dash before a space would look like one that was changed.
  if (page.name !== "macroman") bytes = restoreSpaces(bytes);
  if (page.keepsLost) bytes = bytes.replace(lossy, "\xef\xbf\xbd");
  return /[\xc0\xed]/.test(bytes) ? decodeUtf8Variants(bytes) : decodeUtf8(bytes);
}

/** UTF-8 of which a byte A0 was taken for a space and became 20, where that makes a likely character. */
const spaced = new RegExp(
  [
    "[\\xc2\\xc3\\xc5\\xce\\xd0\\xd9] ",
    "[\\xe2\\xe3] [\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf]",
    "[\\xe0-\\xe3][\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf] ",
    "\\xf0 [\\x80-\\xbf]{2}",
    "\\xf0[\\x80-\\xbf] [\\x80-\\xbf]",
    "\\xf0[\\x80-\\xbf]{2} ",
  ].join("|"),
  "g",
);

/** "à" is usually a word of its own, and kept its own space; not so in the Portuguese às, àquele, àquela, àquilo. */
const aGrave = /\xc3 (?! |quele|quela|quilo|s )/g;

const restoreSpaces = (bytes: string): string =>
  bytes.replace(aGrave, "\xc3\xa0 ").replace(spaced, (sequence) => sequence.replaceAll(" ", "\xa0"));

/**
 * UTF-8 of which bytes were lost: 1A stands for a byte that became U+FFFD, and a question mark for at most one a
 * character. What the character was cannot be known, so it becomes U+FFFD.
 */
const lossy = new RegExp(
  [
    "[\\xc2-\\xdf]\\x1a",
    "[\\xc2\\xc3]\\?",
    "\\xed[\\xa0-\\xaf][\\x1a?]\\xed[\\xb0-\\xbf][\\x1a?\\x80-\\xbf]",
    "\\xed[\\xa0-\\xaf][\\x1a?\\x80-\\xbf]\\xed[\\xb0-\\xbf][\\x1a?]",
    "[\\xe0-\\xef][\\x1a?][\\x1a\\x80-\\xbf]",
    "[\\xe0-\\xef][\\x1a\\x80-\\xbf][\\x1a?]",
    "[\\xf0-\\xf4][\\x1a?][\\x1a\\x80-\\xbf]{2}",
    "[\\xf0-\\xf4][\\x1a\\x80-\\xbf][\\x1a?][\\x1a\\x80-\\xbf]",
    "[\\xf0-\\xf4][\\x1a\\x80-\\xbf]{2}[\\x1a?]",
    "\\x1a",
  ].join("|"),
  "g",
);

/** The encodings that are alike enough for one expression to find their mistakes inside other text. */
const alike = codePages.filter(({ name }) => name.startsWith("windows") || name === "iso-8859-1");

/** A character class of what the bytes `from` … `to` decode to in any of these encodings. */
const members = (from: number, to: number): string =>
  [...new Set(alike.flatMap(({ characters }) => characters.slice(from, to + 1)))].join("");

const continuation = members(0x80, 0xbf);
/** Dashes, quotation marks, bullet and ellipsis stand for themselves often enough. */
const strictContinuation = continuation.replace(/[–-―‘-„•…]/g, "");

/** Sequences that look like UTF-8, not in the midst of a larger garble. A space may have been the byte A0. */
const embedded = new RegExp(
  `(?<![${strictContinuation}])(?:` +
    `[${members(0xc2, 0xdf)}][${continuation} ]|` +
    `[${members(0xe0, 0xef)}][${continuation} ]{2}|` +
    `[${members(0xf0, 0xf0)}${members(0xf3, 0xf3)}][${continuation} ]{3})+`,
  "g",
);

/** Repairs the parts of a text that was put together from several encodings. */
const fixEmbedded = (text: string): string =>
  text.replace(embedded, (part) => (part.length < text.length && looksMisdecoded(part) ? fixEncoding(part) : part));

/** Control characters U+0080…9F are Windows-1252 that was read as Latin-1. */
export const fixControls = (text: string): string =>
  text.replace(/[\x80-\x9f]/g, (control) => windows1252.characters[control.charCodeAt(0)]!);
