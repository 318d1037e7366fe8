/** @file `diptych demo`: what a CLIP does, on pictures that are there: name them, find them by words, compare them. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { styleText } from "node:util";
import type { Command } from "commander";
import type { DiptychError } from "../errors.js";
import { thumbnail } from "../image/node.js";
import { similarityMatrixSvg } from "../report/index.js";
import {
  best,
  type Clip,
  classificationMetrics,
  classify,
  type Matrix,
  row,
  rows,
  search,
  similarityMatrix,
  zeroShotClassifier,
} from "../tasks/index.js";
import { folderGallery, type Gallery, type GalleryPicture, openmoji } from "./gallery.js";
import { type ModelOptions, modelCommand, withClip } from "./options.js";
import { notice, percent, print, printJson } from "./output.js";

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
        const embedded = await embed(clip, gallery);
        const seconds = (performance.now() - started) / 1000;
        const answers = await answer(clip, gallery, embedded);
        await draw(clip, embedded, answers, options.out);
        if (options.json) return printJson({ title: gallery.title, ...answers, drawing: options.out });
        const speed = Math.round(embedded.pictures.length / seconds);
        print(`${bold(path.basename(options.model))}: ${gallery.title}`);
        print(dim(`embedded in ${seconds.toFixed(1)} s (${speed} pictures/s)`));
        printAnswers(gallery, answers);
        print(`\nSome pictures and texts side by side are drawn in ${bold(options.out)}`);
      });
    });
}

interface Embedded {
  readonly pictures: readonly GalleryPicture[];
  /** [N, E]. */
  readonly embeddings: Matrix;
}

interface Answers {
  readonly classified: readonly {
    readonly picture: string;
    readonly name?: string;
    /** The three likeliest names. */
    readonly answers: readonly { readonly name: string; readonly probability: number }[];
  }[];
  /** Where the right names are known. */
  readonly right?: { readonly top1: number; readonly top5: number };
  readonly found: readonly { readonly query: string; readonly pictures: readonly string[] }[];
}

async function answer(clip: Clip, gallery: Gallery, { pictures, embeddings }: Embedded): Promise<Answers> {
  const classifier = await zeroShotClassifier(clip, gallery.names, ["{}", "a photo of a {}."]);
  const probabilities = classify(clip, embeddings, classifier);
  const classified = pictures.map(({ label, name }, i) => ({
    picture: label,
    ...(name === undefined ? {} : { name }),
    answers: best(row(probabilities, i), 3).map(({ index, score }) => ({
      name: gallery.names[index]!,
      probability: score,
    })),
  }));
  const queries = await clip.embedTexts(gallery.queries);
  const found = gallery.queries.map((query, j) => ({
    query,
    pictures: search(row(queries, j), embeddings, 5).map(({ index }) => pictures[index]!.label),
  }));
  const labels = pictures.map(({ name }) => (name === undefined ? -1 : gallery.names.indexOf(name)));
  if (labels.includes(-1)) return { classified, found };
  const { top1, top5 } = classificationMetrics(probabilities, labels);
  return { classified, right: { top1, top5 }, found };
}

function printAnswers({ names }: Gallery, { classified, right, found }: Answers): void {
  print(`\n${bold("Which name fits?")} ${dim(`${names.length} to choose from`)}`);
  const lines = spread(classified, shown);
  const width = Math.max(...lines.map(({ picture }) => picture.length));
  for (const { picture, name, answers } of lines) {
    const guesses = answers.map((each) => `${each.name} ${dim(percent(each.probability).trim())}`);
    print(`  ${mark(name, answers)} ${picture.padEnd(width)}  ${guesses.join(dim(" · "))}`);
  }
  if (right) {
    const [top1, top5, chance] = [right.top1, right.top5, 1 / names.length].map((share) => percent(share).trim());
    print(`\n  all ${classified.length}: right at once ${top1}, among the first five ${top5}, by chance ${chance}`);
  }
  print(`\n${bold("Which pictures fit the words?")}`);
  for (const { query, pictures } of found) print(`  ${`"${query}"`.padEnd(16)}  ${pictures.join(dim(" · "))}`);
}

/** Right at once, among the three, or wrong; nothing where the right name is not known. */
function mark(name: string | undefined, answers: Answers["classified"][number]["answers"]): string {
  if (name === undefined) return " ";
  const place = answers.findIndex((each) => each.name === name);
  return place === 0 ? "✓" : place > 0 ? "~" : "✗";
}

/** The similarity of a few pictures and their right or likeliest names, as SVG. */
async function draw(
  clip: Clip,
  { pictures, embeddings }: Embedded,
  { classified }: Answers,
  file: string,
): Promise<void> {
  const chosen = spread(
    pictures.map((_, i) => i),
    drawn,
  );
  const texts = [...new Set(chosen.map((i) => pictures[i]!.name ?? classified[i]!.answers[0]!.name))];
  const compared = similarityMatrix(rows(embeddings, chosen), await clip.embedTexts(texts));
  const images = await Promise.all(chosen.map((i) => thumbnail(pictures[i]!.image)));
  await writeFile(file, similarityMatrixSvg({ images, texts, values: compared.data }));
}

/** The readable pictures of a gallery and their embeddings. */
async function embed(clip: Clip, { pictures }: Gallery): Promise<Embedded> {
  const unreadable = new Set<number>();
  const onUnreadable = (error: DiptychError, i: number): void => {
    unreadable.add(i);
    notice(`skipped: ${error.problem}`);
  };
  const images = pictures.map(({ image }) => image);
  const all = await clip.embedImages(images, { onUnreadable });
  const kept = pictures.map((_, i) => i).filter((i) => !unreadable.has(i));
  return { pictures: kept.map((i) => pictures[i]!), embeddings: rows(all, kept) };
}

/** `count` of `all`, evenly apart. */
function spread<T>(all: readonly T[], count: number): T[] {
  const step = Math.max(1, all.length / count);
  return Array.from({ length: Math.min(count, all.length) }, (_, i) => all[Math.floor((i + 0.5) * step)]!);
}
