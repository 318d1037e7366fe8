/** @file `diptych classify`: which of these names fits each picture, with a probability. */
import type { Command } from "commander";
import { best, classify, defaultTemplates, row, similarityMatrix, zeroShotClassifier } from "../tasks/index.js";
import { count, type ModelOptions, modelCommand, repeatable, withClip } from "./options.js";
import { percent, print, printJson } from "./output.js";
import { embedPictures, findPictures } from "./pictures.js";
import { type ClassOptions, givenClasses } from "./texts.js";

interface Options extends ModelOptions, ClassOptions {
  readonly template?: readonly string[];
  readonly top: number;
  readonly json?: true;
}

export function classifyCommand(): Command {
  return modelCommand("classify")
    .description("Sort pictures into classes that are given by name alone (zero-shot).")
    .argument("<pictures...>", 'files or folders; "-" reads paths from standard input')
    .option("-c, --classes <names>", "the classes, separated by commas")
    .option("--classes-file <file>", "the classes, a name a line, or JSON")
    .option(
      "-t, --template <text>",
      'a sentence with {} for the class; may be repeated (default: "a photo of a {}.")',
      repeatable,
    )
    .option("-k, --top <n>", "classes to show for each picture", count, 5)
    .addHelpText(
      "after",
      `
Examples:
  $ diptych classify holiday.jpg --classes "beach,mountains,city"
  $ diptych classify photos/ --classes-file names.txt --template "a photo of a {}." --template "a drawing of a {}."
  $ find . -name "*.png" | diptych classify - --classes cat,dog --json`,
    )
    .action(async (paths: string[], options: Options) => {
      const names = await givenClasses(options);
      const found = await findPictures(paths);
      const templates = options.template ?? defaultTemplates;
      await withClip(options, async (clip) => {
        const classifier = await zeroShotClassifier(clip, names, templates);
        const { pictures, embeddings, skipped } = await embedPictures(clip, found);
        const cosines = similarityMatrix(embeddings, classifier);
        const probabilities = classify(clip, embeddings, classifier);
        const results = pictures.map((picture, i) => ({
          picture,
          classes: best(row(probabilities, i), options.top).map(({ index, score }) => ({
            name: names[index]!,
            probability: score,
            similarity: row(cosines, i)[index]!,
          })),
        }));
        if (options.json) return printJson({ pictures: results, templates, skipped });
        for (const { picture, classes } of results) {
          print(picture);
          for (const { name, probability } of classes) print(`  ${percent(probability)}  ${name}`);
        }
      });
    });
}
