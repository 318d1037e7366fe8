/**
 * @file HTML character references to characters. `unescapeHtml` follows Python's `html.unescape`, which follows HTML's
 * rules for broken references too ("&ampx" is "&x"); `unescapeClearHtml` follows ftfy 6.3.1, which replaces only what
 * ends in a semicolon, and knows names that were put into capitals.
 */
import { windows1252 } from "./codePages.js";
import { legacyNames, namedCharacters } from "./htmlEntities.js";

/** "amp;" → "&", and "amp" → "&" for the names that browsers take without a semicolon. */
const named: ReadonlyMap<string, string> = new Map(
  [...namedCharacters].flatMap(([name, characters]) => [
    [`${name};`, characters],
    ...(legacyNames.has(name) ? ([[name, characters]] as const) : []),
  ]),
);

const reference = /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/gu;

/** Python's `html.unescape`. */
export function unescapeHtml(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(reference, (whole, name: string) => {
    if (name.startsWith("#")) return numbered(name);
    for (let length = name.length; length > 1; length--) {
      const characters = named.get(name.slice(0, length));
      if (characters !== undefined) return characters + name.slice(length);
    }
    return whole;
  });
}

function numbered(name: string): string {
  const code = /^#[xX]/.test(name) ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10);
  if (code >= 0x80 && code <= 0x9f) return windows1252.characters[code]!;
  if (code === 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return "\ufffd";
  const character = String.fromCodePoint(code);
  return /[\x01-\x08\x0b\x0e-\x1f\x7f]|\p{Noncharacter_Code_Point}/u.test(character) ? "" : character;
}

/** Names in capitals, like "&EACUTE;", where they are no names of their own. */
const capitalised: ReadonlyMap<string, string> = new Map(
  [...namedCharacters]
    .map(([name, characters]) => [name, name.toUpperCase(), characters] as const)
    .filter(([name, upper]) => name === name.toLowerCase() && unescapeHtml(`&${upper};`) === `&${upper};`)
    .map(([, upper, characters]) => [`${upper};`, characters.toUpperCase()]),
);

/** ftfy's `unescape_html`. */
export function unescapeClearHtml(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (whole) => {
    const name = whole.slice(1);
    const characters = named.get(name) ?? capitalised.get(name);
    if (characters !== undefined) return characters;
    if (!name.startsWith("#")) return whole;
    const unescaped = unescapeHtml(whole);
    return unescaped.includes(";") ? whole : unescaped;
  });
}
