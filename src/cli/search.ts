/** @file `diptych search`: the pictures of a folder that a text, or another picture, describes best. */
import type { Command } from "commander";
import { search } from "../tasks/index.js";
import { count, type ModelOptions, modelCommand, withClip } from "./options.js";
import { cosine, print, printJson } from "./output.js";
import { embedPictures, findPictures } from "./pictures.js";

interface Options extends ModelOptions {
  readonly picture?: true;
  readonly top: number;
  readonly json?: true;
}

export function searchCommand(): Command {
  return modelCommand("search")
    .description("Find the pictures that a text describes best. Every picture is compared; nothing is approximated.")
    .argument("<query>", "a text, or with --picture the path of a picture")
    .argument("<pictures...>", 'files or folders, searched at any depth; "-" reads paths from standard input')
    .option("-p, --picture", "the query is a picture: find those like it")
    .option("-k, --top <n>", "pictures to show", count, 10)
    .addHelpText(
      "after",
      `
Examples:
  $ diptych search "a red car" photos/
  $ diptych search --picture sofa.jpg catalogue/ --top 3
  $ diptych search "a cat" photos/ --json | jq -r ".results[].picture"`,
    )
    .action(async (query: string, paths: string[], options: Options) => {
      const found = await findPictures(paths);
      await withClip(options, async (clip) => {
        const wanted = options.picture ? await clip.embedImages([query]) : await clip.embedTexts([query]);
        const { pictures, embeddings, skipped } = await embedPictures(clip, found);
        const results = search(wanted.data, embeddings, options.top).map(({ index, score }) => ({
          picture: pictures[index]!,
          similarity: score,
        }));
        if (options.json) printJson({ query, results, searched: pictures.length, skipped });
        else for (const { picture, similarity } of results) print(`${cosine(similarity)}  ${picture}`);
      });
    });
}
