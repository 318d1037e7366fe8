/** @file What a run starts from: a tokenizer, the model's sizes, and a value for every parameter. */
import { stat } from "node:fs/promises";
import path from "node:path";
import { type Checkpoint, loadCheckpoint } from "../checkpoint/node.js";
import { type ClipConfig, initialise, isAdapter, parameterTable, presets } from "../clip/index.js";
import { captions, type Source } from "../data/index.js";
import { DiptychError } from "../errors.js";
import { openaiPreprocess, randomStream } from "../image/index.js";
import { withClipTokenizer } from "../tasks/node.js";
import { createTokenizer, type Tokenizer, trainMerges } from "../tokenizer/index.js";
import { loadClipTokenizer } from "../tokenizer/node.js";
import type { Recipe } from "./recipe.js";

export interface StartingState extends Pick<Checkpoint, "config" | "preprocess" | "parameters"> {
  readonly tokenizer: Tokenizer;
}

/**
 * Of a new run: a checkpoint's, or random parameters from the recipe's seed and a vocabulary learned from the captions
 * unless CLIP's is asked for; and adapters where they are to learn.
 * @param base folder that a relative path starts from
 */
export async function startingState(recipe: Recipe, source: Source, base: string): Promise<StartingState> {
  const { from, model, lora } = recipe;
  const state = from === undefined ? await freshState(recipe, model, source) : await checkpointState(from, base);
  if (!lora) return state;
  const adapters = parameterTable(state.config, { lora }).filter(({ name }) => isAdapter(name));
  const values = initialise(state.config, randomStream([recipe.seed]), adapters);
  return { ...state, parameters: new Map([...state.parameters, ...values]) };
}

async function freshState(recipe: Recipe, model: NonNullable<Recipe["model"]>, source: Source): Promise<StartingState> {
  const tokenizer = await chooseTokenizer(recipe, source);
  const sizes: ClipConfig = typeof model === "string" ? presets[model] : model;
  const config = { ...sizes, text: { ...sizes.text, vocabularySize: tokenizer.vocabularySize } };
  return {
    config,
    preprocess: openaiPreprocess(config.image.imageSize),
    tokenizer,
    parameters: initialise(config, randomStream([recipe.seed])),
  };
}

/** @param from a path from `base`, or whatever else `loadCheckpoint` reads */
export async function checkpointState(from: string, base: string): Promise<StartingState> {
  const file = path.resolve(base, from);
  const isFile = await stat(file).catch(() => null);
  const checkpoint = await withClipTokenizer(await loadCheckpoint(isFile ? file : from));
  const { config, preprocess, parameters, tokenizer } = checkpoint;
  if (tokenizer) return { config, preprocess, parameters, tokenizer };
  throw new DiptychError(
    "NoTokenizer",
    `The checkpoint ${from} has no tokenizer, and its vocabulary is not CLIP's own.`,
    "Put its tokenizer.json, or vocab.json and merges.txt, beside the weights.",
  );
}

async function chooseTokenizer({ tokenizer }: Recipe, source: Source): Promise<Tokenizer> {
  if (tokenizer === "clip") return loadClipTokenizer();
  const texts: string[] = [];
  for await (const caption of captions(source)) texts.push(caption);
  return createTokenizer({ merges: trainMerges(texts, tokenizer?.vocabularySize ?? 4096) });
}
