/**
 * @file The single-byte encodings that UTF-8 is mistaken for, and UTF-8 as sloppy software writes it. Text that was
 * decoded wrongly is encoded again here and decoded rightly. Bytes are held as a "binary string", one character of
 * U+0000…FF a byte, so that regular expressions can search them.
 *
 * The tables are Unicode's mapping tables for these encodings, in the order in which ftfy 6.3.1 tries them. Where a
 * Windows encoding leaves a byte without meaning it stands for the character of the same number, as browsers have it.
 */

export interface CodePage {
  readonly name: string;
  /** Windows encodings keep a character that was lost, U+FFFD, as the byte 1A. */
  readonly keepsLost: boolean;
  /** The character of each byte. */
  readonly characters: readonly string[];
  /** The byte of each character. */
  readonly bytes: ReadonlyMap<string, string>;
}

const latin1 = Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(byte));

/** `upper`: the characters of the bytes 80…FF, or the first of them; a space is a byte without meaning. */
function codePage(name: string, upper: string): CodePage {
  const keepsLost = name.startsWith("windows");
  const characters = [...latin1];
  Array.from(upper).forEach((character, i) => {
    if (character !== " ") characters[0x80 + i] = character;
  });
  if (keepsLost) characters[0x1a] = "\ufffd";
  const bytes = new Map(characters.map((character, byte) => [character, latin1[byte]!]));
  return { name, keepsLost, characters, bytes };
}

export const windows1252: CodePage = codePage("windows-1252", "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ");

/** In the order of trial. */
export const codePages: readonly CodePage[] = [
  codePage("iso-8859-1", ""),
  windows1252,
  codePage(
    "windows-1251",
    "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–— ™љ›њќћџ\u00a0ЎўЈ¤Ґ¦§Ё©Є«¬\u00ad®Ї°±Ііґµ¶·ё№є»јЅѕїАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя",
  ),
  codePage(
    "windows-1250",
    "€ ‚ „…†‡ ‰Š‹ŚŤŽŹ ‘’“”•–— ™š›śťžź\u00a0ˇ˘Ł¤Ą¦§¨©Ş«¬\u00ad®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
  ),
  codePage(
    "windows-1253",
    "€ ‚ƒ„…†‡ ‰ ‹     ‘’“”•–— ™ ›    \u00a0΅Ά£¤¥¦§¨© «¬\u00ad®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡ ΣΤΥΦΧΨΩΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύώ ",
  ),
  codePage(
    "windows-1254",
    "€ ‚ƒ„…†‡ˆ‰Š‹Œ    ‘’“”•–—˜™š›œ  Ÿ\u00a0¡¢£¤¥¦§¨©ª«¬\u00ad®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ",
  ),
  codePage(
    "windows-1257",
    "€ ‚ „…†‡ ‰ ‹ ¨ˇ¸ ‘’“”•–— ™ › ¯˛ \u00a0 ¢£¤ ¦§Ø©Ŗ«¬\u00ad®Æ°±²³´µ¶·ø¹ŗ»¼½¾æĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽßąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙",
  ),
  codePage(
    "iso-8859-2",
    "                                \u00a0Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u00adŽŻ°ą˛ł´ľśˇ¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙",
  ),
  codePage(
    "macroman",
    "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\u00a0ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\uf8ffÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
  ),
  codePage(
    "cp437",
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0",
  ),
];

/** The bytes that `page` decodes to this text, or undefined where it has no such character. */
export function encode(text: string, page: CodePage): string | undefined {
  let encoded = "";
  for (const character of text) {
    const byte = page.bytes.get(character);
    if (byte === undefined) return undefined;
    encoded += byte;
  }
  return encoded;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of UTF-8 bytes, or undefined where they are not UTF-8. */
export function decodeUtf8(bytes: string): string | undefined {
  try {
    return utf8.decode(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)));
  } catch {
    return undefined;
  }
}

// That a final line end may take the last byte's place is a slip of the reference's expressions, kept.
const high = "\xed[\xa0-\xaf][\x80-\xbf]";
const low = "\xed[\xb0-\xbf](?:[\x80-\xbf]|\n$)";
const surrogates = new RegExp(high + low, "g");
/** Java's zero. */
const longZero = /\xc0(?:\x80|\n$)/g;

/**
 * UTF-8 with the two habits of software that holds text in 16 bits: a character beyond U+FFFF as two surrogates of three
 * bytes each (CESU-8), and U+0000 as C0 80 (Java).
 */
export function decodeUtf8Variants(bytes: string): string | undefined {
  const standard = bytes.replace(longZero, "\0").replace(surrogates, (six) => {
    const byte = (i: number) => six.charCodeAt(i);
    const codePoint =
      0x10000 + ((byte(1) & 0x0f) << 16) + ((byte(2) & 0x3f) << 10) + ((byte(4) & 0x0f) << 6) + (byte(5) & 0x3f);
    return Array.from(new TextEncoder().encode(String.fromCodePoint(codePoint)), (b) => latin1[b]!).join("");
  });
  return decodeUtf8(standard);
}
