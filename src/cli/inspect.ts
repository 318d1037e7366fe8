/** @file `diptych inspect`: what a checkpoint is, and where each fact about it was learned. */
import { Command } from "commander";
import type { Checkpoint } from "../checkpoint/index.js";
import type { Activation } from "../clip/index.js";
import { activationOption, openCheckpoint } from "./options.js";
import { print, printJson } from "./output.js";

interface Options {
  readonly activation?: Activation;
  readonly json?: true;
}

export function inspectCommand(): Command {
  return new Command("inspect")
    .description("Show what a checkpoint is: its sizes, its preprocessing, and where each was learned.")
    .argument("<checkpoint>", "its folder, its file of weights, or its published name")
    .addOption(activationOption())
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Examples:
  $ diptych inspect models/mine
  $ diptych inspect ViT-B-32.pt --json`,
    )
    .action(async (given: string, options: Options) => {
      const found = describe(await openCheckpoint(given, options.activation));
      if (options.json) printJson({ checkpoint: given, ...found });
      else for (const line of linesOf(found)) print(line);
    });
}

type Description = ReturnType<typeof describe>;

function describe({ config, preprocess, tokenizer, parameters, origin }: Checkpoint) {
  const counts = { image: 0, text: 0, shared: 0 };
  for (const [name, { data }] of parameters) counts[towerOf(name)] += data.length;
  return {
    config,
    parameters: { ...counts, total: counts.image + counts.text + counts.shared },
    /** The factor before the softmax. */
    logitScale: Math.exp(parameters.get("logit_scale")!.data[0]!),
    preprocess,
    tokenizer: tokenizer && { vocabularySize: tokenizer.vocabularySize, clean: tokenizer.clean },
    origin: origin.split("\n"),
  };
}

function towerOf(name: string): "image" | "text" | "shared" {
  if (name.startsWith("visual.")) return "image";
  return name.startsWith("logit_") ? "shared" : "text";
}

function linesOf({ config, parameters, logitScale, preprocess, tokenizer, origin }: Description): string[] {
  const { image, text, ...whole } = config;
  const { kind, ...imageSizes } = image;
  const facts: Readonly<Record<string, string>> = {
    model: `${listed(whole)}, logit scale ${logitScale.toFixed(2)}`,
    parameters: `${parameters.total.toLocaleString("en")}`,
    "image tower": `${parameters.image.toLocaleString("en")} parameters: ${kind === "vit" ? "ViT" : "ResNet"}, ${listed(imageSizes)}`,
    "text tower": `${parameters.text.toLocaleString("en")} parameters: ${listed(text)}`,
    preprocessing: listed(preprocess),
    tokenizer: tokenizer ? listed(tokenizer) : "none",
  };
  const width = Math.max(...Object.keys(facts).map((name) => name.length)) + 2;
  return [
    ...Object.entries(facts).map(([name, fact]) => `${name.padEnd(width)}${fact}`),
    "learned from",
    ...origin.map((line) => `  ${line}`),
  ];
}

/** { patchSize: 32, mean: [0.5, 0.5, 0.5] } → "patch size 32, mean [0.5, 0.5, 0.5]" */
const listed = (fields: object): string =>
  Object.entries(fields)
    .map(([name, value]) => `${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)} ${inWords(value)}`)
    .join(", ");

const inWords = (value: unknown): string =>
  typeof value === "string" ? value : JSON.stringify(value).replaceAll(",", ", ");
