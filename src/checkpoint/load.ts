/**
 * @file Reads any CLIP checkpoint into one form. The weights decide what they are, by their bytes and their names; the
 * rest comes from the files beside them (`describe.ts`). Shapes are fitted before a number is read.
 */
import path from "node:path";
import type { ClipConfig } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import type { Tokenizer } from "../tokenizer/index.js";
import type { Checkpoint } from "./checkpoint.js";
import { describeWeights, type LoadOptions } from "./describe.js";
import { withFiles } from "./files.js";
import { fitParameters, readParameters } from "./fit.js";
import { type HubOptions, resolveModel } from "./hub/index.js";
import { locate } from "./locate.js";
import { dialectOf, unused } from "./names.js";
import { withContextLength, withImageSize } from "./positions.js";
import { parseSafetensors } from "./safetensors.js";
import type { ByteSource } from "./source.js";
import type { StoredTensor } from "./storage.js";
import { readTokenizer, tokenizerOrigin } from "./tokenizerFiles.js";
import { isTorchFile, parseTorch } from "./torch.js";

/**
 * Reads a folder (Diptych's own, Hugging Face's, open_clip's) or a weights file (`.safetensors`, `.pt`, `.bin`) with its
 * config beside it, or a published model by its name, which is downloaded into the cache.
 * @throws DiptychError for whatever is missing, damaged, does not fit or cannot be known.
 */
export async function loadCheckpoint(given: string, options: LoadOptions & HubOptions = {}): Promise<Checkpoint> {
  const { folder, weights } = await locate(await resolveModel(given, options));
  return withFiles(weights, async (sources) => {
    const { tensors, isOpenAI } = await storedTensors(sources);
    const dialect = dialectOf(tensors);
    if (!dialect) {
      throw new DiptychError(
        "NotAClip",
        `${given} holds no CLIP: none of its ${tensors.length} tensors is a known token embedding.`,
        "Give a checkpoint of OpenAI's CLIP, open_clip, Hugging Face's CLIPModel or Diptych.",
      );
    }
    const found = await describeWeights(folder, { tensors, dialect, isOpenAI }, options);
    const config = options.activation ? { ...found.config, activation: options.activation } : found.config;
    const fitted = fitParameters(config, tensors, dialect, given);
    const tokenizer = await readTokenizer(folder, found.tokenizer);
    requireVocabulary(tokenizer, config, folder);
    const leftOut = unused.flatMap(([pattern, what]) =>
      what && tensors.some(({ name }) => pattern.test(name)) ? [`left out: ${what}`] : [],
    );
    const types = [...new Set(tensors.map(({ type }) => type))].join(" and ");
    const origin = [
      `weights: ${weights.map((file) => path.basename(file)).join(", ")} (${dialect.title}, ${types})`,
      `sizes and activation: ${found.configFrom}${options.activation ? "; activation given by the caller" : ""}`,
      `preprocessing: ${found.preprocessFrom}`,
      `tokenizer: ${await tokenizerOrigin(folder, tokenizer)}`,
      ...leftOut,
    ].join("\n");
    const { preprocess } = found;
    const stored = { config, preprocess, tokenizer, parameters: await readParameters(fitted), origin };
    const { imageSize, contextLength } = options;
    const sized = imageSize === undefined ? stored : withImageSize(stored, imageSize);
    return contextLength === undefined ? sized : withContextLength(sized, contextLength);
  });
}

/** All tensors of the files, without the `module.` that training on several GPUs leaves in front of every name. */
async function storedTensors(sources: readonly ByteSource[]): Promise<{ tensors: StoredTensor[]; isOpenAI: boolean }> {
  const tensors: StoredTensor[] = [];
  let isOpenAI = false;
  for (const source of sources) {
    if (await isTorchFile(source)) {
      const file = await parseTorch(source);
      tensors.push(...file.tensors);
      isOpenAI ||= file.isOpenAI;
    } else tensors.push(...(await parseSafetensors(source)).tensors);
  }
  const wrapped = tensors.length > 0 && tensors.every(({ name }) => name.startsWith("module."));
  const unwrap = (tensor: StoredTensor) => ({ ...tensor, name: tensor.name.slice("module.".length) });
  return { tensors: wrapped ? tensors.map(unwrap) : tensors, isOpenAI };
}

function requireVocabulary(tokenizer: Tokenizer | null, { text }: ClipConfig, folder: string): void {
  // another model's tokenizer may have tokens that its training never used
  if (tokenizer?.kind !== "bpe" || tokenizer.vocabularySize <= text.vocabularySize) return;
  throw new DiptychError(
    "DoesNotFit",
    `The tokenizer in ${folder} knows ${tokenizer.vocabularySize} tokens, and the model ${text.vocabularySize}.`,
    "Give the tokenizer files that belong to these weights.",
  );
}
