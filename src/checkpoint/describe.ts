/**
 * @file What the weights do not say themselves: the model's sizes and activation, and how its pictures are prepared.
 * It stands in the config beside them, or follows from where the weights come from; it is never guessed.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import type { Activation, ClipConfig } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import { openaiPreprocess, type PreprocessConfig } from "../image/index.js";
import { folderSchema } from "./checkpoint.js";
import { exists } from "./files.js";
import { fromHuggingFaceConfig } from "./huggingFace.js";
import { fromPreprocessor } from "./imageProcessor.js";
import { type Heads, inferConfig } from "./infer.js";
import { checkJson, parseJson } from "./json.js";
import { type Dialect, dialects, shapeIn } from "./names.js";
import { fromModelCfg, openClipSchema, tokenizerOf } from "./openClip.js";
import { fromPreprocessCfg } from "./preprocessCfg.js";
import { isSiglip, siglipPreprocess } from "./siglip.js";
import type { StoredTensor } from "./storage.js";
import type { TokenizerSettings } from "./tokenizerFiles.js";

export interface Description {
  readonly config: ClipConfig;
  readonly configFrom: string;
  readonly preprocess: PreprocessConfig;
  readonly preprocessFrom: string;
  /** How the folder's tokenizer files are to be read, where its config says so. */
  readonly tokenizer?: TokenizerSettings;
}

export interface Weights {
  readonly tensors: readonly StoredTensor[];
  readonly dialect: Dialect;
  /** OpenAI's own archive: all of theirs mean QuickGELU, whatever lies beside it. */
  readonly isOpenAI: boolean;
}

export interface LoadOptions {
  /** For weights whose files do not say it, or say it wrong: `quick_gelu` for OpenAI's, `gelu` for most others. */
  readonly activation?: Activation;
  /** Attention heads, for a bare state dict of unusual head width. */
  readonly heads?: Heads;
  /** Pictures of another size than the weights were trained on, in pixels: position embeddings are interpolated. */
  readonly imageSize?: number | [number, number];
  /** Texts of another length, in tokens; likewise. */
  readonly contextLength?: number;
}

/** @throws DiptychError `NoConfig`, `UnknownActivation`, `UnknownModel`, `UnsupportedModel`, `BadConfig`. */
export async function describeWeights(folder: string, weights: Weights, options: LoadOptions): Promise<Description> {
  if (weights.isOpenAI) return fromShapes(weights, options.activation ?? "quick_gelu", options.heads);
  if (weights.dialect.library === "transformers") return describeHuggingFace(folder);
  const config = await readJson(folder, "config.json");
  if (isRecord(config) && config.format === "diptych") return describeOurs(folder, config);
  const openClip = await readJson(folder, "open_clip_config.json");
  if (openClip !== undefined) {
    // a SigLIP that the table of timm's lacks: its shapes say all but these two
    const given = weights.dialect === dialects.timm && options.heads && options.activation;
    const known = given ? fromShapes(weights, given, options.heads) : undefined;
    return describeOpenClip(path.join(folder, "open_clip_config.json"), openClip, known);
  }
  if (options.activation) return fromShapes(weights, options.activation, options.heads);
  throw new DiptychError(
    "UnknownActivation",
    "The weights come without a config, and no tensor tells which activation they were trained with.",
    'Give it: { activation: "quick_gelu" } for OpenAI\'s models and those made from them, "gelu" for most others.',
  );
}

function describeOurs(folder: string, json: unknown): Description {
  const { model, preprocess, tokenizer } = checkJson(folderSchema, json, path.join(folder, "config.json"));
  const described = { config: model, configFrom: "config.json", preprocess, preprocessFrom: "config.json" };
  return tokenizer ? { ...described, tokenizer } : described;
}

async function describeHuggingFace(folder: string): Promise<Description> {
  const json = await readJson(folder, "config.json");
  if (json === undefined) {
    throw new DiptychError(
      "NoConfig",
      `The weights have Hugging Face's names, and ${folder} has no config.json.`,
      "Put the model's config.json beside them: it holds the activation and the number of heads.",
    );
  }
  const config = fromHuggingFaceConfig(json, path.join(folder, "config.json"));
  const described = { config, configFrom: "config.json", tokenizer: { clean: "huggingface" } } as const;
  const processor = await readJson(folder, "processor_config.json");
  const preprocessors = {
    "preprocessor_config.json": await readJson(folder, "preprocessor_config.json"),
    "processor_config.json": isRecord(processor) ? processor.image_processor : undefined,
  };
  for (const [name, preprocessor] of Object.entries(preprocessors)) {
    if (preprocessor === undefined) continue;
    const preprocess = fromPreprocessor(preprocessor, config.image.imageSize, path.join(folder, name));
    return { ...described, preprocess, preprocessFrom: name };
  }
  return { ...described, ...usualPreprocessing(config) };
}

function describeOpenClip(file: string, json: unknown, known?: Description): Description {
  const { model_cfg, preprocess_cfg } = checkJson(openClipSchema, json, file);
  const name = path.basename(file);
  const described = known ?? {
    config: fromModelCfg(model_cfg, file),
    configFrom: name,
    tokenizer: tokenizerOf(model_cfg, file),
  };
  const preprocess = fromPreprocessCfg(preprocess_cfg, described.config.image.imageSize, `${file}, preprocess_cfg`);
  return { ...described, preprocess, preprocessFrom: name };
}

function fromShapes({ tensors, dialect, isOpenAI }: Weights, activation: Activation, heads?: Heads): Description {
  const stored = new Map(tensors.map(({ name, shape }) => [name, shape]));
  const config = inferConfig({ get: (name) => shapeIn(dialect, stored, name) }, activation, heads);
  const configFrom = `the shapes of the tensors${isOpenAI ? ", in an archive of OpenAI's" : ""}`;
  return { config, configFrom, ...usualPreprocessing(config) };
}

const usualPreprocessing = (config: ClipConfig) =>
  isSiglip(config)
    ? { preprocess: siglipPreprocess(config.image.imageSize), preprocessFrom: "SigLIP's, as no file says otherwise" }
    : {
        preprocess: openaiPreprocess(config.image.imageSize),
        preprocessFrom: "OpenAI's, as both references do where no file says otherwise",
      };

async function readJson(folder: string, name: string): Promise<unknown> {
  const file = path.join(folder, name);
  return (await exists(file)) ? parseJson(await readFile(file, "utf8"), file) : undefined;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;
