/**
 * @file Builds `assets/recipe.schema.json`, the JSON schema of recipes: what the program checks, described by the comments
 * of the sources. usage: node scripts/build-recipe-schema.mjs [--check], after `npm run build`
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { sourcesSchema } from "../dist/data/index.js";
import { recipeSchema } from "../dist/train/index.js";

const asset = new URL("../assets/recipe.schema.json", import.meta.url);
const sources = new URL("../src/", import.meta.url);
const read = (name) => readFileSync(new URL(name, sources), "utf8");

/** Key → the comment above it. Where files describe one key differently, the comment is left out. */
function comments(texts) {
  const found = new Map();
  for (const text of texts) {
    for (const [, comment, key] of text.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(\$?\w+): (?!readonly)/g)) {
      const words = comment
        .replace(/\s*\n\s*\* ?/g, " ")
        .replaceAll("`", "")
        .trim();
      found.set(key, found.has(key) && found.get(key) !== words ? undefined : words);
    }
  }
  return found;
}

function describe(schema, ofKey) {
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    const description = ofKey.get(key);
    if (description) property.description = description;
    describe(property, nested);
  }
  for (const part of [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), schema.items]) if (part) describe(part, nested);
}

const ofRecipe = comments([read("train/recipe.ts")]);
const rooms = ["clip", "data", "train"].flatMap((room) =>
  readdirSync(new URL(room, sources)).map((file) => `${room}/${file}`),
);
const nested = comments(rooms.filter((file) => read(file).includes("z.strictObject")).map(read));
const schema = z.toJSONSchema(recipeSchema.extend({ data: sourcesSchema }), { io: "input" });
describe(schema, ofRecipe);
const json = `${JSON.stringify({ $schema: schema.$schema, title: "A recipe of Diptych", ...schema }, null, 2)}\n`;

if (!process.argv.includes("--check")) writeFileSync(asset, json);
else if (readFileSync(asset, "utf8") !== json) {
  console.error("assets/recipe.schema.json is not what the sources say: run npm run schema");
  process.exit(1);
}
