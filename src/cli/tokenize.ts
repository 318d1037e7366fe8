/** @file `diptych tokenize`: the ids that a text becomes, without start and end markers. */
import { Command } from "commander";
import { loadCheckpoint } from "../checkpoint/node.js";
import { DiptychError } from "../errors.js";
import type { Tokenizer } from "../tokenizer/index.js";
import { loadClipTokenizer } from "../tokenizer/node.js";
import { withDownloadBar } from "./downloadBar.js";
import { lines } from "./lines.js";
import { print, printJson } from "./output.js";

interface Options {
  readonly model?: string;
  readonly json?: true;
}

export function tokenizeCommand(): Command {
  return new Command("tokenize")
    .description("Turn texts into the ids of CLIP's vocabulary, as OpenAI's tokenizer does.")
    .argument("[texts...]", "texts; without any, lines of standard input")
    .option("-m, --model <name>", "a checkpoint whose own tokenizer is used (default: CLIP's)")
    .option("--json", 'lines {"text": …} in, lines {"ids": […]} out')
    .addHelpText(
      "after",
      `
Examples:
  $ diptych tokenize "a photo of a cat"
  $ diptych tokenize --model models/mine < captions.txt
  $ echo '{"text": "a photo of a cat"}' | diptych tokenize --json`,
    )
    .action(async (texts: string[], { model, json }: Options) => {
      const tokenizer = model === undefined ? await loadClipTokenizer() : await tokenizerOf(model);
      const given = texts.length > 0 ? texts : json ? jsonTexts() : lines("-");
      for await (const text of given) {
        const ids = tokenizer.encode(text);
        if (json) printJson({ ids });
        else print(`${ids.join(" ")}\t${ids.map((id) => tokenizer.decode([id]).trim()).join("|")}`);
      }
    });
}

async function* jsonTexts(): AsyncGenerator<string> {
  let number = 0;
  for await (const line of lines("-")) {
    number++;
    if (line.trim() !== "") yield textOf(line, number);
  }
}

function textOf(line: string, number: number): string {
  try {
    const { text } = JSON.parse(line);
    if (typeof text === "string") return text;
  } catch {
    // Told below, as for a line without text.
  }
  throw new DiptychError(
    "BadLine",
    `Line ${number} of standard input is no {"text": …}.`,
    "Write a JSON object a line.",
  );
}

async function tokenizerOf(model: string): Promise<Tokenizer> {
  const { tokenizer } = await withDownloadBar((shown) => loadCheckpoint(model, shown));
  if (tokenizer) return tokenizer;
  throw new DiptychError("NoTokenizer", `${model} has no tokenizer.`, "Leave out --model to use CLIP's own.");
}
