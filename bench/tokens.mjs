/**
 * @file How many tokens an epoch's texts have, and how many the text tower works on: all rows as long as the step's longest
 * text, or in portions of rows in the order of their lengths. usage: node bench/tokens.mjs recipes/mini.json
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import { presets } from "../dist/clip/index.js";
import { batches, captions, openSource, stepsPerEpoch } from "../dist/data/index.js";
import { openaiPreprocess } from "../dist/image/index.js";
import { createTokenizer, trainMerges } from "../dist/tokenizer/index.js";

const file = process.argv[2];
const recipe = JSON.parse(readFileSync(file, "utf8"));
const source = await openSource(recipe.data, path.dirname(path.resolve(file)));
const texts = [];
for await (const caption of captions(source)) texts.push(caption);
const { contextLength } = presets[recipe.model].text;
const options = {
  ...recipe,
  tokenizer: createTokenizer({ merges: trainMerges(texts, recipe.tokenizer.vocabularySize) }),
  contextLength,
  preprocess: openaiPreprocess(8),
  pool: { run: async () => new Uint8Array(8 * 8 * 3) },
};
const tokens = { "in the texts": 0, "padded to the context": 0, "padded to the step's longest": 0 };
const steps = stepsPerEpoch(source.length, recipe.batchSize);
for await (const { position, size, length, lengths } of batches(source, options)) {
  if (position.epoch > 0) break;
  tokens["in the texts"] += lengths.reduce((a, b) => a + b, 0);
  tokens["padded to the context"] += size * contextLength;
  tokens["padded to the step's longest"] += size * length;
  for (const rows of [64, 32, 16]) {
    const name = `in portions of ${rows}`;
    tokens[name] ??= 0;
    for (let i = 0; i < size; i += rows) tokens[name] += rows * Math.ceil(lengths[i + rows - 1] / 4) * 4;
  }
}
await source.close();
for (const [what, count] of Object.entries(tokens)) console.log(`${String(count).padStart(9)} ${what}`);
console.log(`${String(steps).padStart(9)} steps`);
