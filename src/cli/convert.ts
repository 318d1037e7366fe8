/** @file `diptych convert`: a checkpoint of any format as a folder of another. */
import { readdir } from "node:fs/promises";
import { Command, Option } from "commander";
import { type FolderFormat, saveCheckpoint, type WrittenType } from "../checkpoint/node.js";
import type { Activation } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import { withClipTokenizer } from "../tasks/node.js";
import { activationOption, openCheckpoint } from "./options.js";
import { notice, printJson } from "./output.js";

const formats: Readonly<Record<string, FolderFormat>> = {
  diptych: "diptych",
  huggingface: "huggingFace",
  open_clip: "openClip",
  onnx: "onnx",
};

const dtypes: Readonly<Record<string, WrittenType>> = { f32: "F32", f16: "F16", bf16: "BF16" };

interface Options {
  readonly activation?: Activation;
  readonly format: string;
  readonly dtype: string;
  readonly json?: true;
}

export function convertCommand(): Command {
  return new Command("convert")
    .description("Write a checkpoint as a folder in another format.")
    .argument("<from>", "a checkpoint: its folder, its file of weights, or its published name")
    .argument("<to>", "the folder to write: new, or empty")
    .addOption(
      new Option("-f, --format <name>", "onnx is what transformers.js loads")
        .choices(Object.keys(formats))
        .makeOptionMandatory(),
    )
    .addOption(new Option("--dtype <name>", "number format of the weights").choices(Object.keys(dtypes)).default("f32"))
    .addOption(activationOption())
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Examples:
  $ diptych convert ViT-B-32.pt models/vit-b-32 --format huggingface
  $ diptych convert models/mine web/mine --format onnx
  $ diptych convert epoch_32.pt models/mine --format open_clip --dtype f16 --activation gelu`,
    )
    .action(async (from: string, to: string, options: Options) => {
      const { format, dtype, json } = options;
      await requireEmpty(to);
      const checkpoint = await withClipTokenizer(await openCheckpoint(from, options.activation));
      const { tokenizer } = checkpoint;
      await saveCheckpoint(to, checkpoint, { format: formats[format]!, dtype: dtypes[dtype]! });
      if (json) printJson({ from, to, format, dtype, tokenizer: tokenizer !== null });
      else notice(`written: ${to} (${format}, ${dtype}${tokenizer ? "" : "; without a tokenizer, as it has none"})`);
    });
}

/** A save replaces what lies in its folder: weights that lie there must not go unasked. */
async function requireEmpty(folder: string): Promise<void> {
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new DiptychError("CannotWrite", `${folder} is no folder that can be written.`, "Name a new one.", {
      cause: error,
    });
  });
  if (files.length === 0) return;
  throw new DiptychError("FolderNotEmpty", `${folder} holds files already.`, "Name a new folder, or remove that one.");
}
