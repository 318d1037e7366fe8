/**
 * @file Whether a text looks like UTF-8 that was decoded with a single-byte encoding ("cafÃ©"). The heuristic is that
 * of ftfy 6.3.1 (Robyn Speer, Apache-2.0), whose answers decide what CLIP's references repair: about 400 characters
 * occur in such text; they are sorted into classes, and some neighbours of classes are hardly ever meant.
 */

/** Members of character classes of regular expressions, ranges included. */
const is = {
  common: "\\u00a0\\u00ad·´–—―…’",
  control: "\\x80-\\x9f",
  /** Hardly ever used for themselves. */
  bad: "¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊\\ufffd",
  law: "§¶",
  currency: "¢£¥₧€",
  /** Opens, or stands before, a word. */
  opening: "¡©«¿΄΅‘‚“„•‹\\uf8ff",
  /** Closes, or stands behind, a word. */
  closing: "®»˝”›™",
  number: "±²³µ¹¼½¾×÷⁄№∂∆∏∑√∞∩∫≈≠≡≤≥",
  /** Capitals that end no face like (òÓ): the O's and U's are left out. */
  upper: "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ",
  lower: "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ",
  /** Capitals that end words so often that what follows them says little. */
  upperCommon: "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я",
  lowerCommon: "α-ωάέήίΰа-џ",
  /** "─" is left out: faces have it. */
  box: "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓",
  face: "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°",
  space: "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000",
  word: "\\p{L}\\p{N}_",
} as const;

const accented = is.lower + is.upper;
const quotes = is.opening + is.closing;
const arabic = `${is.common}${is.currency}${is.bad}${is.number}${is.opening}ŸŠ®°µ»`;
const cyrillic = `${is.control}${is.bad}${quotes}${is.currency}°µ`;
const greek = `${is.control}${is.bad}${quotes}${is.currency}°`;

/** Each row: a class for every character of a sequence that is hardly ever meant. */
const unlikely: readonly (readonly string[])[] = [
  [is.control],
  [is.bad + accented + is.box + quotes + is.currency + is.number + is.law, is.bad],
  ["a-zA-Z", is.lowerCommon + is.upperCommon, is.bad],
  [is.bad, accented + is.box + quotes + is.currency + is.number + is.law],
  [is.lower + is.lowerCommon + is.box + is.closing + is.currency + is.number, is.upper],
  [is.box + is.closing + is.currency + is.number, is.lower],
  [is.lower + is.box + is.closing, is.currency],
  [is.space, is.upper, is.currency],
  [is.upper + is.box, is.number + is.law],
  [accented + is.box + is.currency + is.closing, is.opening, is.number],
  [accented + is.currency + is.number + is.box + is.law, is.closing, is.opening],
  [is.currency + is.number + is.box, is.opening],
  ["a-z", is.upper, is.opening + is.currency],
  [is.box, is.face],
  [accented + is.currency + is.number + quotes + is.law, is.box],
  [is.box, is.closing],
  [accented, quotes, is.word],
  ["Œœ", "^A-Za-z"],
  [is.upper, "°"],
  // UTF-8 read as Windows-1252: Latin, Arabic, South Asian scripts, and à, á and the no-break space
  ["ÂÃÎÐ", `${quotes}€œŠš¢£Ÿž\\u00a0\\u00ad®©°·»–—´`],
  ["×", "²³"],
  ["ØÙ", arabic, "ØÙ", arabic],
  ["à", "²µ¹¼½¾"],
  ["Ã", "\\u00a0¡"],
  ["a-z", "ÃÂ", " "],
  ["a-z", is.space, "ÃÂ", " "],
  [`a-z.,?!${is.closing}`, "Â", ` ${quotes}`],
  // as Mac Roman
  ["√", "±∂†≠®™´≤≥¥µø"],
  ["≈", "°¢"],
  ["‚", "Ä", "ìîïòôúùû†°¢π"],
  ["‚", "âó", "àä°ê"],
  // as Windows-1251; the letters are Cyrillic
  ["в", "Ђ"],
  ["ВГРС", cyrillic, "ВГРС"],
  ["Г", "ў", "В", "Ђ", "В", "^\\n", "A-Za-z "],
  // as Windows-1253; the letters are Greek
  ["β", "€", "™\\u00a0Ά\\u00ad®°"],
  ["ΒΓΞΟ", greek, "ΒΓΞΟ"],
  // as Windows-1257
  ["ā", "€"],
];

const sequences = unlikely.map((row) => row.map((members) => `[${members}]`).join(""));
const anyUnlikely = new RegExp([...sequences, "^[ÃÂ][ ]"].join("|"), "u");

/** Whether some characters of the text stand beside each other as hardly anybody would write them. */
export function looksMisdecoded(text: string): boolean {
  return anyUnlikely.test(text);
}
