/** @file `diptych embed`: embeddings of pictures and texts, to a file or as JSON lines. */
import type { Command } from "commander";
import { DiptychError } from "../errors.js";
import { embeddingLines, embeddingWriter } from "./embeddingFiles.js";
import { embedShards, type ShardOptions } from "./embedShards.js";
import { count, type ModelOptions, modelCommand, repeatable, wholeNumber, withClip } from "./options.js";
import { notice, printJson } from "./output.js";
import { type EmbeddedPictures, embedPictures, findPictures } from "./pictures.js";
import { givenTexts, type TextOptions } from "./texts.js";

interface Options extends ModelOptions, TextOptions, ShardOptions {
  readonly out?: string;
  readonly truncate?: true;
  readonly json?: true;
}

export function embedCommand(): Command {
  return modelCommand("embed")
    .description("Write L2-normalised embeddings of pictures, of texts, or of both.")
    .argument("[pictures...]", 'files or folders; "-" reads paths from standard input')
    .option("-t, --text <text>", "a text; may be repeated", repeatable)
    .option("--texts-file <file>", 'a text a line; "-" is standard input')
    .option("--truncate", "cut texts that are longer than the model reads")
    .option("-o, --out <file>", "write .safetensors, .npy or .jsonl (default: JSON lines on standard output)")
    .option("--shards <pattern>", "tar shards, into the folder --out; may be repeated", repeatable)
    .option("--captions", "of shards also the captions")
    .option("--rank <number>", "with --ranks: this process's share of the shards, from 0", wholeNumber)
    .option(
      "--ranks <number>",
      "processes that share the shards; mpirun, srun and Slurm's arrays say it themselves",
      count,
    )
    .addHelpText(
      "after",
      `
Examples:
  $ diptych embed photos/ --out photos.safetensors
  $ diptych embed --text "a cat" --text "a dog"
  $ diptych embed photos/ --texts-file captions.txt --json
  $ mpirun -n 4 npx diptych embed --shards "data/{000..999}.tar" --captions --out embeddings/`,
    )
    .action(async (paths: string[], options: Options) => {
      if (options.shards) return embedShards(options.shards, options);
      const write = options.out === undefined ? undefined : embeddingWriter(options.out);
      const texts = await givenTexts(options);
      if (paths.length + texts.length === 0) {
        throw new DiptychError(
          "NothingToEmbed",
          "There is nothing to embed.",
          "Name pictures, or give texts with --text.",
        );
      }
      const found = paths.length > 0 ? await findPictures(paths) : [];
      await withClip(options, async (clip) => {
        const size = clip.config.embedSize;
        const ofTexts = await clip.embedTexts(texts, { truncate: options.truncate ?? false });
        const {
          pictures,
          embeddings: images,
          skipped,
        } = found.length > 0 ? await embedPictures(clip, found) : none(size);
        const embedded = { pictures, images, texts, ofTexts };
        if (write) {
          await write(embedded);
          notice(`written: ${options.out} (${pictures.length + texts.length} × ${size})`);
        }
        if (options.json) printJson({ size, embeddings: embeddingLines(embedded), skipped });
        else if (!write) embeddingLines(embedded).forEach(printJson);
      });
    });
}

const none = (size: number): EmbeddedPictures => ({
  pictures: [],
  embeddings: { data: new Float32Array(0), shape: [0, size] },
  skipped: [],
});
