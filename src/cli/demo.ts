/** @file `diptych demo`: what a CLIP does, on pictures that are there: name them, find them by words, compare them. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { styleText } from "node:util";
import type { Command } from "commander";
import { similarityMatrixSvg } from "../report/index.js";
import {
  best,
  type Clip,
  classificationMetrics,
  classify,
  type Matrix,
  row,
  search,
  similarityMatrix,
  zeroShotClassifier,
} from "../tasks/index.js";
import { folderGallery, type Gallery, type GalleryPicture, openmoji } from "./gallery.js";
import { type ModelOptions, modelCommand, withClip } from "./options.js";
import { notice, percent, print, printJson } from "./output.js";
import { thumbnail } from "./thumbnail.js";

interface Options extends ModelOptions {
  readonly out: string;
  readonly json?: true;
}

/** Pictures shown one by one, and drawn in the matrix. */
const shown = 12;
const drawn = 6;

const bold = (text: string): string => (process.stdout.isTTY ? styleText("bold", text) : text);
const dim = (text: string): string => (process.stdout.isTTY ? styleText("dim", text) : text);

export function demoCommand(): Command {
  return modelCommand("demo")
    .description("Classify and search pictures with the model in the box, and draw a similarity matrix.")
    .argument("[folder]", "pictures of your own (default: the emoji artwork that comes with a checkout)")
    .option("-o, --out <file>", "the drawing to write", "similarity.svg")
    .addHelpText("after", "\nExamples:\n  $ diptych demo\n  $ diptych demo ~/Pictures --out pictures.svg")
    .action(async (folder: string | undefined, options: Options) => {
      const gallery = folder === undefined ? await openmoji() : await folderGallery(folder);
      await withClip(options, async (clip) => {
        const started = performance.now();
        const { pictures, embeddings } = await embed(clip, gallery);
        const seconds = (performance.now() - started) / 1000;
        const classifier = await zeroShotClassifier(clip, gallery.names, ["{}", "a photo of a {}."]);
        const probabilities = classify(clip, embeddings, classifier);
        const queries = await clip.embedTexts(gallery.queries);
        const answers = pictures.map(({ label, name }, i) => ({
          picture: label,
          ...(name === undefined ? {} : { name }),
          answers: best(row(probabilities, i), 3).map(({ index, score }) => ({
            name: gallery.names[index]!,
            probability: score,
          })),
        }));
        const found = gallery.queries.map((query, j) => ({
          query,
          pictures: search(row(queries, j), embeddings, 5).map(({ index }) => pictures[index]!.label),
        }));
        const right = accuracy(pictures, gallery.names, probabilities);

        if (options.json) printJson({ title: gallery.title, classified: answers, right, found, drawing: options.out });
        else {
          print(`${bold(path.basename(options.model))}: ${gallery.title}`);
          print(dim(`embedded in ${seconds.toFixed(1)} s (${Math.round(pictures.length / seconds)} pictures/s)`));
          print(`\n${bold("Which name fits?")} ${dim(`${gallery.names.length} to choose from`)}`);
          for (const each of spread(answers, shown)) print(answerLine(each));
          if (right) {
            const chance = percent(1 / gallery.names.length).trim();
            print(
              `\n  all ${pictures.length}: right at once ${percent(right.top1)}, among the first five ${percent(right.top5)}, by chance ${chance}`,
            );
          }
          print(`\n${bold("Which pictures fit the words?")}`);
          for (const { query, pictures: labels } of found)
            print(`  ${`"${query}"`.padEnd(16)}  ${labels.join(dim(" · "))}`);
        }

        const chosen = spread(
          pictures.map((_, i) => i),
          drawn,
        );
        const texts = chosen.map((i) => pictures[i]!.name ?? answers[i]!.answers[0]!.name);
        const compared = similarityMatrix(
          {
            data: Float32Array.from(chosen.flatMap((i) => [...row(embeddings, i)])),
            shape: [chosen.length, embeddings.shape[1]],
          },
          await clip.embedTexts(texts),
        );
        const images = await Promise.all(chosen.map((i) => thumbnail(pictures[i]!.image)));
        await writeFile(options.out, similarityMatrixSvg({ images, texts, values: compared.data }));
        if (!options.json) print(`\nThe similarity of six pictures and six texts is drawn in ${bold(options.out)}`);
      });
    });
}

function answerLine({
  picture,
  name,
  answers,
}: {
  picture: string;
  name?: string;
  answers: { name: string; probability: number }[];
}): string {
  const mark =
    name === undefined ? " " : answers[0]!.name === name ? "✓" : answers.some((each) => each.name === name) ? "~" : "✗";
  const guesses = answers.map((each) => `${each.name} ${dim(percent(each.probability).trim())}`).join(dim(" · "));
  return `  ${mark} ${picture.padEnd(24)}  ${guesses}`;
}

/** The readable pictures of a gallery and their embeddings. */
async function embed(clip: Clip, gallery: Gallery): Promise<{ pictures: GalleryPicture[]; embeddings: Matrix }> {
  const unreadable = new Set<number>();
  const { data, shape } = await clip.embedImages(
    gallery.pictures.map(({ image }) => image),
    {
      onUnreadable: (error, i) => {
        unreadable.add(i);
        notice(`skipped: ${error.problem}`);
      },
    },
  );
  const kept = gallery.pictures.map((_, i) => i).filter((i) => !unreadable.has(i));
  const width = shape[1];
  return {
    pictures: kept.map((i) => gallery.pictures[i]!),
    embeddings: {
      data: Float32Array.from(kept.flatMap((i) => [...data.subarray(i * width, (i + 1) * width)])),
      shape: [kept.length, width],
    },
  };
}

function accuracy(
  pictures: readonly GalleryPicture[],
  names: readonly string[],
  probabilities: Matrix,
): { top1: number; top5: number } | undefined {
  const labels = pictures.map(({ name }) => (name === undefined ? -1 : names.indexOf(name)));
  if (labels.includes(-1)) return undefined;
  const { top1, top5 } = classificationMetrics(probabilities, labels);
  return { top1, top5 };
}

/** `count` of `all`, evenly apart. */
const spread = <T>(all: readonly T[], count: number): T[] =>
  Array.from(
    { length: Math.min(count, all.length) },
    (_, i) => all[Math.floor(((i + 0.5) * all.length) / Math.min(count, all.length))]!,
  );
