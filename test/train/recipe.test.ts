import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { parseRecipe } from "../../src/train/index.js";
import { recipe } from "./pairs.js";

const shipped = path.resolve(import.meta.dirname, "../../recipes");

describe("a recipe", () => {
  test.each([
    [{ batchsize: 1 }, 'A recipe has no option "batchsize". Did you mean "batchSize"?'],
    [
      { augment: { flop: true } },
      'In a recipe, "augment" has no option "flop". Did you mean "flip"? Known are scale, flip.',
    ],
    [
      { tokenizer: { vocabulary: 9 } },
      'In a recipe, "tokenizer" has no option "vocabulary". Did you mean "vocabularySize"?',
    ],
    [
      { lora: { rank: 4, alpha: 8, target: "mlp" } },
      'In a recipe, "lora" has no option "target". Did you mean "targets"?',
    ],
    [
      { lock: { image: { unlockFrom: 2 } } },
      'In a recipe, "lock.image" has no option "unlockFrom". Did you mean "unlockedFrom"?',
    ],
    [{ distillation: { similarity: 1 } }, 'The recipe has "distillation", but no "teacher".'],
    [{ samples: 100 }, 'The recipe says both "epochs" and "samples".'],
    [{ epochs: undefined }, 'The recipe says neither "epochs" nor "samples".'],
  ])("that says %j is told what is wrong", (changes, problem) => {
    expect(() => recipe(changes)).toThrow(problem);
  });

  test.each(readdirSync(shipped).filter((file) => file.endsWith(".json")))("%s can be read", (file) => {
    expect(() => parseRecipe(JSON.parse(readFileSync(path.join(shipped, file), "utf8")))).not.toThrow();
  });

  test("may name its schema, and leave out half of what it says of augmentation", () => {
    const { epochs, ...rest } = recipe();
    const parsed = parseRecipe({ $schema: "recipe.schema.json", ...rest, samples: 80, augment: { flip: true } });
    expect(parsed).toMatchObject({ samples: 80, augment: { flip: true, scale: [0.9, 1] } });
  });
});
