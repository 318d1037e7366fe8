/**
 * @file Three functions of Python on a `str` where JavaScript's namesakes answer otherwise. The reference is Python 3.11 with
 * Unicode 14.
 */

/** Python's white space; JavaScript's `\s` lacks U+001C…1F and U+0085, and has U+FEFF. */
const space = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

/** `str.split()`: the pieces between runs of white space, none of them empty. */
export function pythonSplit(text: string): string[] {
  return text.split(space).filter((piece) => piece !== "");
}

/** Capitals that Unicode got after version 14. */
const newerCapitals = /([\u1c89\ua7cb\ua7cc\ua7ce\ua7d2\ua7d4\ua7da\ua7dc\u{10d50}-\u{10d65}\u{16ea0}-\u{16eb8}])/u;

/** `str.lower()`: as `toLowerCase`, final sigma included, but for capitals newer than the reference's Unicode. */
export const pythonLower = (text: string): string => between(newerCapitals, text, (piece) => piece.toLowerCase());

/** Combining marks and parts of composed characters that Unicode got after version 14. */
const newerMarks =
  /(\u0897|[\u1acf-\u1aeb\u{105c9}-\u{105e4}\u{10d69}-\u{10d6d}\u{10efa}-\u{10eff}\u{11382}-\u{113d0}\u{11f41}\u{11f42}\u{1611e}-\u{1612f}\u{16d63}-\u{16d6a}\u{1e08f}\u{1e4ec}-\u{1e6f5}])/u;

/** `unicodedata.normalize("NFC", …)`: what is newer than the reference's Unicode is a letter like any other to it. */
export const composed = (text: string): string => between(newerMarks, text, (piece) => piece.normalize("NFC"));

/** `change` of what stands between characters that the reference does not know yet. @param newer one group: the character */
const between = (newer: RegExp, text: string, change: (piece: string) => string): string =>
  text
    .split(newer)
    .map((piece, i) => (i % 2 === 1 ? piece : change(piece)))
    .join("");
