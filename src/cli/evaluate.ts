/** @file `diptych evaluate`: how well a model answers on pictures with known classes or captions, and what its features tell. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { Command } from "commander";
import { openSource, type Source } from "../data/index.js";
import { DiptychError } from "../errors.js";
import { nodeRuntime } from "../runtime/node.js";
import {
  defaultTemplates,
  evaluateLinearProbe,
  evaluateRetrieval,
  evaluateZeroShot,
  idxPictures,
  type LabelledPictures,
  type Recall,
} from "../tasks/index.js";
import { count, type ModelOptions, modelCommand, repeatable, withClip } from "./options.js";
import { notice, percent, print, printJson } from "./output.js";
import { progressBar } from "./progress.js";
import { type ClassOptions, givenClasses } from "./texts.js";

interface ZeroShotOptions extends ModelOptions, ClassOptions {
  readonly template?: readonly string[];
  readonly worst: number;
  readonly json?: true;
}

interface LinearProbeOptions extends ModelOptions, ClassOptions {
  readonly train: string;
  readonly test: string;
  readonly json?: true;
}

interface RetrievalOptions extends ModelOptions {
  readonly captionsPerPicture?: number;
  readonly json?: true;
}

export function evaluateCommand(): Command {
  return new Command("evaluate")
    .description("Measure a model: zero-shot accuracy, retrieval between pictures and captions, or a linear probe.")
    .addCommand(zeroShotCommand())
    .addCommand(retrievalCommand())
    .addCommand(linearProbeCommand());
}

function zeroShotCommand(): Command {
  return modelCommand("zero-shot")
    .description("Accuracy on pictures with classes: top 1, top 5 and mean per-class recall.")
    .argument("<data>", "class folders, a .tar of them, or MNIST's images-idx3-ubyte.gz (its labels beside it)")
    .option("-c, --classes <names>", "names in label order, separated by commas (default: the folders' names)")
    .option("--classes-file <file>", 'JSON: {"folder": "name"}; for idx files also names in label order')
    .option(
      "-t, --template <text>",
      'a sentence with {} for the class; may be repeated (default: "a photo of a {}.")',
      repeatable,
    )
    .option("--worst <n>", "classes to list, the worst first", count, 5)
    .addHelpText(
      "after",
      `
Examples:
  $ diptych evaluate zero-shot cifar10-test.tar
  $ diptych evaluate zero-shot imagenet/val --classes-file names.json --template "a photo of a {}."
  $ diptych evaluate zero-shot t10k-images-idx3-ubyte.gz --classes zero,one,two,three,four,five,six,seven,eight,nine`,
    )
    .action(async (data: string, options: ZeroShotOptions) => {
      const templates = options.template ?? defaultTemplates;
      await withLabelled(data, options, (pictures) =>
        withClip(options, async (clip) => {
          const bar = progressBar(pictures.length, "pictures");
          const result = await evaluateZeroShot(clip, pictures, { templates, onProgress: bar.update }).finally(
            bar.stop,
          );
          if (options.json) return printJson({ data, templates, ...result });
          print(`${result.pictures} pictures, ${result.classes.length} classes`);
          print(`${percent(result.top1)}  top 1\n${percent(result.top5)}  top 5`);
          print(`${percent(result.meanPerClassRecall)}  mean per-class recall`);
          if (result.unreadable > 0) notice(`${result.unreadable} pictures could not be read and do not count`);
          const seen = result.classes.flatMap(({ name, recall }) => (recall === null ? [] : [{ name, recall }]));
          const worst = seen.sort((a, b) => a.recall - b.recall).slice(0, options.worst);
          print(`worst: ${worst.map(({ name, recall }) => `${name} ${percent(recall).trim()}`).join(", ")}`);
        }),
      );
    });
}

function retrievalCommand(): Command {
  return modelCommand("retrieval")
    .description("Recall of pictures by their captions, and of captions by their pictures.")
    .argument("<data>", "a .tar of pictures with .txt or .json captions, or a table (.csv, .tsv, .jsonl)")
    .option("--captions-per-picture <n>", "use only the first n captions of a picture", count)
    .addHelpText(
      "after",
      `
Examples:
  $ diptych evaluate retrieval flickr8k.tar
  $ diptych evaluate retrieval emoji.tar --captions-per-picture 1 --json`,
    )
    .action(async (data: string, options: RetrievalOptions) => {
      await withSource(data.endsWith(".tar") ? { shards: data } : { table: data }, (pictures) =>
        withClip(options, async (clip) => {
          const bar = progressBar(pictures.length, "pictures");
          const { captionsPerPicture } = options;
          const limits = captionsPerPicture === undefined ? {} : { captionsPerPicture };
          const result = await evaluateRetrieval(clip, pictures, { ...limits, onProgress: bar.update }).finally(
            bar.stop,
          );
          if (options.json) return printJson({ data, ...result });
          print(`${result.pictures} pictures, ${result.texts} texts`);
          print(`${recalls(result.textToImage)}  pictures by text (recall at 1, 5, 10)`);
          print(`${recalls(result.imageToText)}  texts by picture`);
          if (result.unreadable > 0) notice(`${result.unreadable} pictures could not be read and do not count`);
        }),
      );
    });
}

function linearProbeCommand(): Command {
  return modelCommand("linear-probe")
    .description("Accuracy of logistic regression on the picture tower's features, as in CLIP's paper (A.3).")
    .requiredOption("--train <data>", "pictures to fit: class folders, a .tar of them, or idx files as in zero-shot")
    .requiredOption("--test <data>", "pictures to count, with the same classes")
    .option("-c, --classes <names>", "names in label order, for idx files")
    .option("--classes-file <file>", "the same from a file")
    .addHelpText(
      "after",
      `
Every fifth training picture of a class is held out to find the strength of the penalty (1e-6 to 1e6); the classifier
is then fitted to all of them.

Examples:
  $ diptych evaluate linear-probe --train cifar10-train.tar --test cifar10-test.tar
  $ diptych evaluate linear-probe -m ViT-B/32 --train pets/train --test pets/test --json`,
    )
    .action(async (options: LinearProbeOptions) => {
      await withLabelled(options.train, options, (train) =>
        withLabelled(options.test, options, (test) =>
          withClip(
            options,
            async (clip) => {
              const bar = progressBar(train.length + test.length, "pictures");
              const onProgress = bar.update;
              const result = await evaluateLinearProbe(clip, nodeRuntime(), train, test, { onProgress }).finally(
                bar.stop,
              );
              if (options.json) return printJson(result);
              print(`${result.trained} pictures fitted, ${result.tested} tested, ${train.classes.length} classes`);
              print(`${percent(result.accuracy)}  accuracy`);
              print(`${percent(result.meanPerClassRecall)}  mean per-class recall`);
              const [best] = result.trials;
              print(
                `lambda ${result.lambda.toPrecision(3)}: ${percent(best!.accuracy).trim()} of the held-out pictures`,
              );
              if (result.unreadable > 0) notice(`${result.unreadable} pictures could not be read and do not count`);
            },
            { projection: false },
          ),
        ),
      );
    });
}

const recalls = (recall: Recall): string =>
  [recall["recall@1"], recall["recall@5"], recall["recall@10"]].map(percent).join(" ");

async function withLabelled(
  data: string,
  options: ClassOptions,
  use: (pictures: LabelledPictures) => Promise<void>,
): Promise<void> {
  if (/-idx3-ubyte(?:\.gz)?$/.test(data)) {
    const labels = data.replace(/images([.-])idx3/, "labels$1idx1");
    return use(idxPictures(await idxFile(data), await idxFile(labels), await givenClasses(options)));
  }
  const classes = options.classesFile ?? (options.classes === undefined ? undefined : await givenClasses(options));
  const named = { ...(classes === undefined ? {} : { classes }), templates: ["{}"] };
  return withSource(data.endsWith(".tar") ? { shards: data, ...named } : { folder: data, ...named }, use);
}

async function withSource(spec: object, use: (source: Source) => Promise<void>): Promise<void> {
  const source = await openSource(spec);
  try {
    for (const problem of source.problems) notice(problem);
    await use(source);
  } finally {
    await source.close();
  }
}

async function idxFile(file: string): Promise<Uint8Array> {
  try {
    const bytes = await readFile(file);
    return file.endsWith(".gz") ? await promisify(gunzip)(bytes, { maxOutputLength: 2 ** 31 - 1 }) : bytes;
  } catch (cause) {
    throw new DiptychError("NoSuchFile", `${path.resolve(file)} cannot be read.`, "Check the path.", { cause });
  }
}
