/**
 * @file Reads any CLIP checkpoint into one form. The weights decide what they are (by their bytes and their names); the
 * config, the preprocessing and the tokenizer come from the files beside them, or from what the weights' origin implies.
 * What nothing tells is asked for, not guessed.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Activation, ClipConfig } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import { openaiPreprocess, type PreprocessConfig } from "../image/index.js";
import type { Tokenizer } from "../tokenizer/index.js";
import { type Checkpoint, folderSchema } from "./checkpoint.js";
import { exists, withFiles } from "./files.js";
import { fitParameters, readParameters } from "./fit.js";
import { fromHuggingFaceConfig, fromPreprocessor } from "./huggingFace.js";
import { type Heads, inferConfig } from "./infer.js";
import { checkJson, parseJson } from "./json.js";
import { locate } from "./locate.js";
import { type Dialect, dialectOf, dialects } from "./names.js";
import { fromModelCfg, fromPreprocessCfg, openClipSchema } from "./openClip.js";
import { parseSafetensors } from "./safetensors.js";
import type { ByteSource } from "./source.js";
import type { StoredTensor } from "./storage.js";
import { readTokenizer } from "./tokenizerFiles.js";

export interface LoadOptions {
  /** For weights whose files do not say it, or say it wrong. */
  readonly activation?: Activation;
  /** Attention heads, for a bare state dict of unusual head width. */
  readonly heads?: Heads;
}

/**
 * Reads a folder (Diptych's own, Hugging Face's, open_clip's) or a weights file with its config beside it.
 * @throws DiptychError for whatever is missing, damaged, does not fit or cannot be known.
 */
export async function loadCheckpoint(given: string, options: LoadOptions = {}): Promise<Checkpoint> {
  const { folder, weights } = await locate(given);
  return withFiles(weights, async (sources) => {
    const tensors = await storedTensors(sources);
    const dialect = dialectOf(tensors);
    if (!dialect) {
      throw new DiptychError(
        "NotAClip",
        `${given} holds no CLIP: none of its ${tensors.length} tensors is a known token embedding.`,
        "Give a checkpoint of OpenAI's CLIP, open_clip, Hugging Face's CLIPModel or Diptych.",
      );
    }
    const found = await describe(folder, tensors, dialect, options);
    const config = options.activation ? { ...found.config, activation: options.activation } : found.config;
    const parameters = await readParameters(fitParameters(config, tensors, dialect, given));
    const tokenizer = found.tokenizer ?? (await readTokenizer(folder));
    requireVocabulary(tokenizer, config, folder);
    const origin = [
      `weights: ${weights.map((file) => path.basename(file)).join(", ")} (${dialect.title}, ${typesOf(tensors)})`,
      `sizes and activation: ${found.configFrom}${options.activation ? "; activation given by the caller" : ""}`,
      `preprocessing: ${found.preprocessFrom}`,
      `tokenizer: ${tokenizer ? "the files beside the weights" : "none beside the weights"}`,
    ].join("\n");
    return { config, preprocess: found.preprocess, tokenizer, parameters, origin };
  });
}

/** All tensors of the files, without the `module.` that training on several GPUs leaves in front of every name. */
async function storedTensors(sources: readonly ByteSource[]): Promise<StoredTensor[]> {
  const tensors: StoredTensor[] = [];
  for (const source of sources) tensors.push(...(await parseSafetensors(source)).tensors);
  const wrapped = tensors.length > 0 && tensors.every(({ name }) => name.startsWith("module."));
  return wrapped ? tensors.map((tensor) => ({ ...tensor, name: tensor.name.slice("module.".length) })) : tensors;
}

const typesOf = (tensors: readonly StoredTensor[]): string =>
  [...new Set(tensors.map(({ type }) => type))].join(" and ");

interface Description {
  readonly config: ClipConfig;
  readonly configFrom: string;
  readonly preprocess: PreprocessConfig;
  readonly preprocessFrom: string;
  /** Where the config says how its tokenizer files are to be read. */
  readonly tokenizer?: Tokenizer | null;
}

async function describe(
  folder: string,
  tensors: readonly StoredTensor[],
  dialect: Dialect,
  options: LoadOptions,
): Promise<Description> {
  const json = async (name: string): Promise<unknown> => {
    const file = path.join(folder, name);
    return (await exists(file)) ? parseJson(await readFile(file, "utf8"), file) : undefined;
  };
  const where = (name: string): string => path.join(folder, name);
  const config = await json("config.json");

  if (dialect === dialects.huggingFace) {
    if (config === undefined) {
      throw new DiptychError(
        "NoConfig",
        `The weights have Hugging Face's names, and ${folder} has no config.json.`,
        "Put the model's config.json beside them: it holds the activation and the number of heads.",
      );
    }
    const model = fromHuggingFaceConfig(config, where("config.json"));
    const files = { "preprocessor_config.json": (file: unknown) => file, "processor_config.json": imageProcessorOf };
    for (const [name, pick] of Object.entries(files)) {
      const preprocessor = pick(await json(name));
      if (preprocessor === undefined) continue;
      const preprocess = fromPreprocessor(preprocessor, model.image.imageSize, where(name));
      return { config: model, configFrom: "config.json", preprocess, preprocessFrom: name };
    }
    return { config: model, configFrom: "config.json", ...openaiPreprocessing(model) };
  }

  if (isRecord(config) && config.format === "diptych") {
    const ours = checkJson(folderSchema, config, where("config.json"));
    return {
      config: ours.model,
      configFrom: "config.json",
      preprocess: ours.preprocess,
      preprocessFrom: "config.json",
      tokenizer: ours.tokenizer ? await readTokenizer(folder, ours.tokenizer) : null,
    };
  }

  const openClip = await json("open_clip_config.json");
  if (openClip !== undefined) {
    const file = where("open_clip_config.json");
    const { model_cfg, preprocess_cfg } = checkJson(openClipSchema, openClip, file);
    const model = fromModelCfg(model_cfg, file);
    const preprocess = fromPreprocessCfg(preprocess_cfg, model.image.imageSize, `${file}, preprocess_cfg`);
    return { config: model, configFrom: "open_clip_config.json", preprocess, preprocessFrom: "open_clip_config.json" };
  }

  if (!options.activation) {
    throw new DiptychError(
      "UnknownActivation",
      `The weights come without a config, and no tensor tells which activation they were trained with.`,
      'Give it: { activation: "quick_gelu" } for OpenAI\'s models and those made from them, "gelu" for most others.',
    );
  }
  const shapes = new Map(tensors.map(({ name, shape }) => [name.replace(/^text\./, ""), shape]));
  const model = inferConfig(shapes, options.activation, options.heads);
  return { config: model, configFrom: "the shapes of the tensors", ...openaiPreprocessing(model) };
}

const openaiPreprocessing = ({ image }: ClipConfig) => ({
  preprocess: openaiPreprocess(image.imageSize),
  preprocessFrom: "OpenAI's, as both references do where no file says otherwise",
});

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;
const imageProcessorOf = (file: unknown): unknown => (isRecord(file) ? file.image_processor : undefined);

function requireVocabulary(tokenizer: Tokenizer | null, { text }: ClipConfig, folder: string): void {
  if (!tokenizer || tokenizer.vocabularySize <= text.vocabularySize) return;
  throw new DiptychError(
    "DoesNotFit",
    `The tokenizer in ${folder} knows ${tokenizer.vocabularySize} tokens, and the model ${text.vocabularySize}.`,
    "Give the tokenizer files that belong to these weights.",
  );
}
