/**
 * @file The alphabet of byte-level BPE: every byte is written as one visible character, so that any text is a word
 * over 256 symbols and nothing is ever unknown. Follows GPT-2 and OpenAI's CLIP (Radford et al. 2021): bytes that print
 * in Latin-1 stand for themselves, the 68 others become U+0100, U+0101, … in byte order.
 */

const prints = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

const allBytes = Array.from({ length: 256 }, (_, byte) => byte);

/** The 256 bytes in the order of their ids in CLIP's vocabulary: those that print, then the others. */
export const byteOrder: readonly number[] = [...allBytes.filter(prints), ...allBytes.filter((byte) => !prints(byte))];

/** `byteSymbols[byte]` is the character that stands for a byte. */
export const byteSymbols: readonly string[] = allBytes.map((byte) =>
  prints(byte)
    ? String.fromCodePoint(byte)
    : String.fromCodePoint(0x100 + allBytes.filter((other) => other < byte && !prints(other)).length),
);

const symbolBytes: ReadonlyMap<string, number> = new Map(byteSymbols.map((symbol, byte) => [symbol, byte]));

/** Ends the last symbol of a word: "cat</w>" is a word's end, "cat" its beginning or middle. */
export const wordEnd = "</w>";

/** The text that symbols spell; bytes that are no UTF-8 become U+FFFD, and each word's end becomes a space. */
export function spell(symbols: string): string {
  const bytes = Uint8Array.from(symbols, (symbol) => symbolBytes.get(symbol) ?? 0x3f);
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes).replaceAll(wordEnd, " ");
}
