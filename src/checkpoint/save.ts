/**
 * @file Writes a checkpoint as a folder: Diptych's own, Hugging Face's, open_clip's, or ONNX. The folder appears whole or
 * not at all; a training run's state goes along with the weights that it belongs to.
 */
import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { type Checkpoint, type FolderConfig, folderSchema } from "./checkpoint.js";
import { exists, readSafetensors, replaceFolder, writeThrough } from "./files.js";
import { newestCheckpoint } from "./generations.js";
import { toHuggingFaceConfig } from "./huggingFace.js";
import { toPreprocessor } from "./imageProcessor.js";
import { checkJson, parseJson } from "./json.js";
import { type Dialect, dialectFor, dialects, storedAs } from "./names.js";
import { onnxTowers } from "./onnx.js";
import { safetensorsBytes, type WrittenType } from "./safetensors.js";
import { isSiglip } from "./siglip.js";
import { elementCount, type NamedTensor } from "./storage.js";
import { huggingFaceTokenizer, tokenizerSettings, tokenizerTexts } from "./tokenizerFiles.js";
import { toOpenClipConfig } from "./toOpenClip.js";

export type FolderFormat = keyof typeof formats;

/** What a run needs to go on: arenas by name, and anything that JSON can say. */
export interface TrainingState {
  readonly tensors: readonly NamedTensor[];
  readonly state: unknown;
}

export interface SaveOptions {
  readonly format?: FolderFormat;
  /** Format of the weights; "F16" and "BF16" halve the file. */
  readonly dtype?: WrittenType;
  /** Always stored in float32. */
  readonly training?: TrainingState;
}

type Saved = Omit<Checkpoint, "origin"> & { readonly origin?: string };

/** Files by their path in the folder; weights are made piece by piece as they are written. */
type Files = Readonly<Record<string, Iterable<Uint8Array> | string>>;
type Format = (checkpoint: Saved, dtype: WrittenType) => Files;

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const weights = (dialect: Dialect, { parameters }: Saved, dtype: WrittenType) =>
  safetensorsBytes(tensorsAs(dialect, parameters), { dtype });

/** What transformers and transformers.js read beside the weights. */
const huggingFaceTexts = ({ config, preprocess, tokenizer }: Saved, description: object): Files => ({
  "config.json": json(description),
  "preprocessor_config.json": json(toPreprocessor(preprocess, isSiglip(config))),
  ...(tokenizer && huggingFaceTokenizer(tokenizer, config.text.contextLength)),
});

const formats = {
  diptych: (checkpoint, dtype) => {
    const { config, preprocess, tokenizer, origin = "" } = checkpoint;
    const settings = tokenizer ? { tokenizer: tokenizerSettings(tokenizer) } : {};
    const file: FolderConfig = { format: "diptych", version: 1, model: config, preprocess, ...settings, origin };
    return {
      "model.safetensors": weights(dialects.openClip, checkpoint, dtype),
      "config.json": json(checkJson(folderSchema, file, "The config to save")),
    };
  },
  huggingFace: (checkpoint, dtype) => ({
    "model.safetensors": weights(dialectFor(checkpoint.config, "transformers"), checkpoint, dtype),
    ...huggingFaceTexts(checkpoint, toHuggingFaceConfig(checkpoint.config)),
  }),
  openClip: (checkpoint, dtype) => ({
    "open_clip_model.safetensors": weights(dialectFor(checkpoint.config, "open_clip"), checkpoint, dtype),
    "open_clip_config.json": json(toOpenClipConfig(checkpoint)),
  }),
  /** For transformers.js: no weights that training could go on with, only programs. */
  onnx: (checkpoint, dtype) => {
    const { files, config } = onnxTowers(checkpoint, dtype);
    return { ...files, ...huggingFaceTexts(checkpoint, config) };
  },
} as const satisfies Record<string, Format>;

/** Every name that a save may write: what else lies in a folder is not touched. */
const ours = new Set([
  ...["config.json", "model.safetensors", "open_clip_config.json", "open_clip_model.safetensors"],
  ...["vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"],
  ...["training.json", "training.safetensors", "onnx"],
]);

/**
 * Saves a checkpoint as the folder `folder`, replacing what a save has written there before.
 * @throws DiptychError `CannotWrite` (the old folder is then untouched), `CannotExpress` for what the format cannot say.
 */
export async function saveCheckpoint(folder: string, checkpoint: Saved, options: SaveOptions = {}): Promise<void> {
  const { format = "diptych", dtype = "F32", training } = options;
  const { tokenizer } = checkpoint;
  const files: Files = { ...formats[format](checkpoint, dtype), ...(tokenizer && tokenizerTexts(tokenizer)) };
  await replaceFolder(folder, ours, async (beside) => {
    const write = async (name: string, content: Files[string]) => {
      const file = path.join(beside, name);
      await mkdir(path.dirname(file), { recursive: true });
      await writeThrough(file, content);
    };
    for (const [name, content] of Object.entries(files)) await write(name, content);
    if (!training) return;
    await write("training.safetensors", safetensorsBytes(training.tensors));
    await write("training.json", json(training.state));
  });
}

/** The state that was saved along, or null where the folder holds none. */
export async function loadTraining(given: string): Promise<TrainingState | null> {
  const folder = await newestCheckpoint(given);
  const file = path.join(folder, "training.json");
  if (!(await exists(file))) return null;
  const state = parseJson(await readFile(file, "utf8"), file);
  const { tensors } = await readSafetensors(path.join(folder, "training.safetensors"));
  return { tensors, state };
}

/** The parameters under a dialect's names: joined ones cut into their parts, which share memory; the rest as it is. */
function tensorsAs(dialect: Dialect, parameters: Checkpoint["parameters"]): NamedTensor[] {
  return [...parameters].flatMap(([name, { data, shape }]) => {
    const { parts, transposed } = storedAs(dialect, name, shape);
    const stored = transposed ? transpose(data, shape) : data;
    let end = 0;
    return parts.map((part) => {
      const start = end;
      end += elementCount(part.shape);
      return { ...part, data: stored.subarray(start, end) };
    });
  });
}

function transpose(data: Float32Array, [rows, columns]: readonly number[]): Float32Array {
  const to = new Float32Array(data.length);
  for (let r = 0; r < rows!; r++) for (let c = 0; c < columns!; c++) to[c * rows! + r] = data[r * columns! + c]!;
  return to;
}
