/**
 * @file Builds `src/tokenizer/repair/htmlEntities.ts` from the HTML standard's list of named character references:
 * `node scripts/build-html-entities.mjs entities.json`, where the file is https://html.spec.whatwg.org/entities.json.
 */
import { readFileSync, writeFileSync } from "node:fs";

const entities = Object.entries(JSON.parse(readFileSync(process.argv[2], "utf8")));
const names = entities
  .filter(([name]) => name.endsWith(";"))
  .map(([name, { codepoints }]) => `${name.slice(1, -1)}:${codepoints.map((code) => code.toString(16)).join("+")}`);
const legacy = entities.map(([name]) => name.slice(1)).filter((name) => !name.endsWith(";"));

const lines = (words) =>
  words
    .toSorted()
    .join(" ")
    .replace(/(.{1,116})( |$)/g, "$1\n")
    .trimEnd();

const source = `/**
 * @file HTML's named character references: facts of the HTML standard (WHATWG, "Named character references").
 * Built by \`scripts/build-html-entities.mjs\`.
 */

/** Each name without its semicolon, and the code points that it stands for. */
const table = \`
${lines(names)}
\`;

/** Names that are also understood without a semicolon. */
const legacy = \`
${lines(legacy)}
\`;

const words = (text: string): string[] => text.trim().split(/\\s+/);

export const namedCharacters: ReadonlyMap<string, string> = new Map(
  words(table).map((entry) => {
    const [name = "", codes = ""] = entry.split(":");
    return [name, String.fromCodePoint(...codes.split("+").map((code) => Number.parseInt(code, 16)))];
  }),
);

export const legacyNames: ReadonlySet<string> = new Set(words(legacy));
`;
writeFileSync(new URL("../src/tokenizer/repair/htmlEntities.ts", import.meta.url), source);
