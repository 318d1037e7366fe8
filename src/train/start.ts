/** @file What a run starts from: a tokenizer, the model's sizes, and a value for every parameter. */
import type { Checkpoint } from "../checkpoint/index.js";
import { type ClipConfig, initialise, presets } from "../clip/index.js";
import { captions, type Source } from "../data/index.js";
import { openaiPreprocess, randomStream } from "../image/index.js";
import { createTokenizer, type Tokenizer, trainMerges } from "../tokenizer/index.js";
import { loadClipTokenizer } from "../tokenizer/node.js";
import type { Recipe } from "./recipe.js";

export interface StartingState extends Pick<Checkpoint, "config" | "preprocess" | "parameters"> {
  readonly tokenizer: Tokenizer;
}

/** Of a new run: random parameters from the recipe's seed, a vocabulary learned from the captions unless CLIP's is asked for. */
export async function startingState(recipe: Recipe, source: Source): Promise<StartingState> {
  const tokenizer = await chooseTokenizer(recipe, source);
  const sizes: ClipConfig = typeof recipe.model === "string" ? presets[recipe.model] : recipe.model;
  const config = { ...sizes, text: { ...sizes.text, vocabularySize: tokenizer.vocabularySize } };
  return {
    config,
    preprocess: openaiPreprocess(config.image.imageSize),
    tokenizer,
    parameters: initialise(config, randomStream([recipe.seed])),
  };
}

async function chooseTokenizer(recipe: Recipe, source: Source): Promise<Tokenizer> {
  if (recipe.tokenizer === "clip") return loadClipTokenizer();
  const texts: string[] = [];
  for await (const caption of captions(source)) texts.push(caption);
  return createTokenizer({ merges: trainMerges(texts, recipe.tokenizer.vocabularySize) });
}
