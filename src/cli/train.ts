/** @file `diptych train`: a run from a recipe, with a line that says how it goes. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { Command } from "commander";
import { DiptychError } from "../errors.js";
import { createPicturePool } from "../image/node.js";
import { nodeRuntime } from "../runtime/node.js";
import {
  type Observer,
  parseRecipe,
  publishedRecipes,
  type Remark,
  type StepReport,
  train,
  type Validation,
  watchRun,
} from "../train/index.js";
import { parsePort, serveLivePage } from "./livePage.js";
import { cpuFallbackOption, type DeviceOptions, deviceOption, runtimeOptions } from "./options.js";
import { notice, percent, print, printJson } from "./output.js";
import { threadsHere, withRanks } from "./ranks.js";
import { addRecipeFlags, withFlags } from "./recipeFlags.js";

interface Options extends DeviceOptions {
  readonly out: string;
  readonly resume?: true;
  readonly json?: true;
  readonly watch?: string | true;
}

export function trainCommand(): Command {
  const command = new Command("train")
    .description("Train a CLIP on pictures and texts, as a recipe says.")
    .argument(
      "<recipe>",
      "a JSON file: model, data, batch size, epochs, learning rate, …; or a published recipe's name",
    )
    .requiredOption("-o, --out <folder>", "the run's folder: checkpoints and log.jsonl")
    .option("--resume", "go on from the newest checkpoint in the run's folder")
    .option("--json", "print one JSON document a step")
    .addOption(deviceOption())
    .addOption(cpuFallbackOption())
    .option("--watch [port]", "serve a page on this machine that shows how the run goes (port 6060)")
    .addHelpText(
      "after",
      `
Flags of the recipe's fields come before what the file says; deeper ones have a dot: --augment.flip, --data.shards.
Published recipes: ${Object.keys(publishedRecipes).join(", ")}.
Ctrl-C saves and ends; --resume goes on from there.

Examples:
  $ diptych train recipes/mini.json --out runs/mini --watch
  $ diptych train recipes/mini.json --out runs/mini --resume
  $ diptych train recipes/mini.json --out runs/small --batch-size 64 --augment.scale "[0.6, 1]"
  $ diptych train open_clip/ViT-B-32-laion400m --data.shards "laion400m/{00000..41455}.tar" --out runs/b32
  $ mpirun -n 4 npx diptych train recipes/mini.json --out runs/mini`,
    )
    .action((name: string, options: Options) =>
      withRanks(async (ranks) => {
        const isFirst = ranks.rank === 0;
        const { given, base } = await findRecipe(name);
        const recipe = parseRecipe(withFlags(given, command));
        const watched = options.watch !== undefined && isFirst;
        const page = watched ? await serveLivePage(options.out, parsePort(options.watch)) : null;
        if (page) notice(`${page.url} shows the run`);
        const runtime = nodeRuntime(runtimeOptions(options));
        if (isFirst) notice(`computing on ${runtime.name}`);
        const pool = createPicturePool(threadsHere());
        const stop = new AbortController();
        const interrupt = () => {
          if (isFirst) notice("\nSaving…");
          stop.abort();
        };
        process.once("SIGINT", interrupt);
        process.once("SIGTERM", interrupt);
        try {
          const result = await train(recipe, {
            out: options.out,
            base,
            runtime,
            pool,
            ranks,
            resume: options.resume ?? false,
            signal: stop.signal,
            onProgress: notice,
            onProblem: (problem) => notice(`left out: ${problem}`),
            observers: isFirst
              ? [
                  describePlan,
                  () => ({ onValidation: printValidation }),
                  watchRun({ onRemark: printRemark }),
                  options.json ? () => ({ onStep: printJson }) : progressLine,
                ]
              : [],
          });
          if (isFirst && !options.json)
            print(`\n${options.out}: ${result.steps} steps, ${result.finished ? "finished" : "to be resumed"}`);
        } finally {
          process.off("SIGINT", interrupt);
          process.off("SIGTERM", interrupt);
          await pool.dispose();
          await page?.close();
        }
      }),
    );
  return addRecipeFlags(command);
}

/** What a file or a published recipe says, and the folder that its paths start from. */
async function findRecipe(name: string): Promise<{ given: object; base: string }> {
  const published = Object.entries(publishedRecipes).find(([known]) => known === name);
  if (published) return { given: published[1], base: process.cwd() };
  try {
    const given: unknown = JSON.parse(await readFile(name, "utf8"));
    if (typeof given !== "object" || given === null) throw new TypeError("it is no object");
    return { given, base: path.dirname(path.resolve(name)) };
  } catch (cause) {
    const remedy = `Give a JSON file, or one of ${Object.keys(publishedRecipes).join(", ")}.`;
    throw new DiptychError("InvalidRecipe", `${name} is no recipe: ${(cause as Error).message}.`, remedy, { cause });
  }
}

const describePlan: Observer = ({ recipe, plan, trainer, tokenizer }) => {
  const { pairs, firstStep, steps } = plan;
  notice(
    `${pairs} pairs, ${(trainer.layout.length / 1e6).toFixed(2)} M parameters, vocabulary ${tokenizer.vocabularySize}, ` +
      `steps ${firstStep} to ${steps}; a loss of ln ${recipe.batchSize} = ${Math.log(recipe.batchSize).toFixed(3)} is chance`,
  );
  return {};
};

/** One line that is rewritten on a terminal; elsewhere a line every 50 steps. Losses and speeds are running means. */
const progressLine: Observer = () => {
  let mean: { loss: number; seconds: number } | undefined;
  const onStep = (report: StepReport) => {
    const { step, steps, epoch, loss, seconds, pairsPerSecond } = report;
    const keep = 0.95;
    mean = mean
      ? { loss: keep * mean.loss + (1 - keep) * loss, seconds: keep * mean.seconds + (1 - keep) * seconds }
      : { loss, seconds };
    const line =
      `step ${step + 1}/${steps}  epoch ${epoch + 1}  loss ${mean.loss.toFixed(3)}  ` +
      `in-batch ${(100 * report.imageAccuracy).toFixed(0)}%/${(100 * report.textAccuracy).toFixed(0)}%  ` +
      `${((pairsPerSecond * seconds) / mean.seconds).toFixed(0)} pairs/s  lr ${report.learningRate.toExponential(1)}  ` +
      `scale ${report.logitScale.toFixed(1)}  |g| ${report.gradientNorm.toFixed(2)}  ` +
      `waiting ${(100 * report.waiting).toFixed(0)}%  ${duration((steps - step - 1) * mean.seconds)} left`;
    if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${line}`);
    else if ((step + 1) % 50 === 0 || step + 1 === steps) print(line);
  };
  return { onStep };
};

function printValidation({ step, textToImage, imageToText, best }: Validation): void {
  const shares = [textToImage, imageToText].map((recall) => percent(recall["recall@1"]).trim());
  notice(
    `${process.stdout.isTTY ? "\n" : ""}step ${step + 1}, validation: recall@1 ${shares[0]} of pictures by text, ` +
      `${shares[1]} of texts by picture${best ? " (the best so far)" : ""}`,
  );
}

function printRemark({ step, severity, what, why, suggestion }: Remark): void {
  notice(`${process.stdout.isTTY ? "\n" : ""}step ${step + 1}, ${severity}: ${what}\n  ${why}\n  ${suggestion}`);
}

function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  return minutes < 1
    ? "under a minute"
    : minutes < 60
      ? `${minutes} min`
      : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
