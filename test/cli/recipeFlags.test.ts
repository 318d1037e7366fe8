import { execFileSync } from "node:child_process";
import path from "node:path";
import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { addRecipeFlags, withFlags } from "../../src/cli/recipeFlags.js";
import { parseRecipe, publishedRecipes, recipeSchema } from "../../src/train/index.js";
import { recipe } from "../train/pairs.js";

/** What a recipe becomes by flags. */
function changed(given: object, ...flags: string[]): object {
  const command = addRecipeFlags(new Command()).exitOverride();
  command.parse(flags, { from: "user" });
  return withFlags(given, command);
}

test("the published schema is what the sources say", () => {
  const script = path.resolve(import.meta.dirname, "../../scripts/build-recipe-schema.mjs");
  execFileSync(process.execPath, [script, "--check"]);
});

describe("flags", () => {
  test("stand for fields, in camel case or with dashes, at every depth", () => {
    const given = { batchSize: 8, augment: null, data: { shards: "a.tar", weight: 2 } };
    expect(
      changed(
        given,
        ...["--batch-size", "64", "--learningRate", "1e-4", "--augment.flip", "--augment.scale", "[0.5, 1]"],
        ...[
          "--data.shards",
          "b-{0..3}.tar",
          "--clip-norm",
          "null",
          "--from",
          "123",
          "--tokenizer.vocabulary-size",
          "600",
        ],
      ),
    ).toEqual({
      batchSize: 64,
      learningRate: 1e-4,
      augment: { flip: true, scale: [0.5, 1] },
      data: { shards: "b-{0..3}.tar", weight: 2 },
      clipNorm: null,
      from: "123",
      tokenizer: { vocabularySize: 600 },
    });
    expect(given).toEqual({ batchSize: 8, augment: null, data: { shards: "a.tar", weight: 2 } });
  });

  test("are there for every field", () => {
    const names = addRecipeFlags(new Command()).options.map(({ long, short }) => short ?? long);
    for (const key of Object.keys(recipeSchema.shape)) if (key !== "$schema") expect(names).toContain(`--${key}`);
  });

  test("that say what a recipe may not are refused as the recipe would be", () => {
    expect(() => parseRecipe(changed(recipe(), "--batch-size", "many"))).toThrow('"batchSize" is wrong');
  });
});

test.each(Object.entries(publishedRecipes))("%s lacks nothing but the data", (_, published) => {
  expect(parseRecipe({ ...published, data: { shards: "a.tar" } })).toMatchObject(published);
});
