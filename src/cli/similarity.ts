/** @file `diptych similarity`: every picture beside every text, as numbers or as a drawing. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import type { Command } from "commander";
import { DiptychError } from "../errors.js";
import { thumbnail } from "../image/node.js";
import { similarityMatrixSvg } from "../report/index.js";
import { row, similarityMatrix } from "../tasks/index.js";
import { type ModelOptions, modelCommand, repeatable, withClip } from "./options.js";
import { cosine, notice, print, printJson } from "./output.js";
import { embedPictures, findPictures } from "./pictures.js";
import { givenTexts, type TextOptions } from "./texts.js";

interface Options extends ModelOptions, TextOptions {
  readonly plot?: string;
  readonly json?: true;
}

export function similarityCommand(): Command {
  return modelCommand("similarity")
    .description("Compare every picture with every text: cosines of their embeddings.")
    .argument("<pictures...>", 'files or folders; "-" reads paths from standard input')
    .option("-t, --text <text>", "a text; may be repeated", repeatable)
    .option("--texts-file <file>", "a text a line")
    .option("--plot <file>", "also draw the matrix with thumbnails and captions (SVG)")
    .addHelpText(
      "after",
      `
Examples:
  $ diptych similarity cat.jpg dog.jpg --text "a cat" --text "a dog"
  $ diptych similarity photos/ --texts-file captions.txt --plot matrix.svg`,
    )
    .action(async (paths: string[], options: Options) => {
      const texts = await givenTexts(options);
      if (texts.length === 0) throw new DiptychError("NoTexts", "There are no texts.", 'Give one: --text "a cat".');
      const found = await findPictures(paths);
      await withClip(options, async (clip) => {
        const { pictures, embeddings, skipped } = await embedPictures(clip, found);
        const cosines = similarityMatrix(embeddings, await clip.embedTexts(texts));
        if (options.plot !== undefined) {
          const images = await Promise.all(pictures.map(thumbnail));
          await writeFile(options.plot, similarityMatrixSvg({ images, texts, values: cosines.data }));
          notice(`drawn: ${options.plot}`);
        }
        const similarities = pictures.map((_, i) => [...row(cosines, i)]);
        if (options.json) printJson({ pictures, texts, similarities, logitScale: clip.logitScale, skipped });
        else printTable(pictures, texts, similarities);
      });
    });
}

/** Texts by number, so that a column is as wide as a cosine. */
function printTable(pictures: readonly string[], texts: readonly string[], rows: readonly (readonly number[])[]): void {
  texts.forEach((text, j) => {
    print(`${String(j + 1).padStart(3)}  ${text}`);
  });
  const names = pictures.map((picture) => path.basename(picture));
  const width = Math.max(...names.map((name) => name.length));
  print(`\n${" ".repeat(width)}${texts.map((_, j) => String(j + 1).padStart(8)).join("")}`);
  names.forEach((name, i) => {
    print(name.padEnd(width) + rows[i]!.map((value) => `  ${cosine(value)}`).join(""));
  });
}
