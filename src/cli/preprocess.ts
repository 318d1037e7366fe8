/** @file `diptych preprocess`: the crop of a picture that a model gets to see. */
import { Command } from "commander";
import { cropPicture, cropSize, openaiPreprocess } from "../image/index.js";
import { decodePicture, writePng } from "../image/node.js";
import { count } from "./options.js";
import { notice, printJson } from "./output.js";

interface Options {
  readonly size: number;
  readonly out: string;
  readonly autoOrient?: boolean;
  readonly json?: true;
}

export function preprocessCommand(): Command {
  return new Command("preprocess")
    .description("Resize and crop a picture as CLIP's preprocessing does, before scaling and normalisation.")
    .argument("<picture>", "a picture file")
    .option("-s, --size <pixels>", "side of the crop", count, 224)
    .requiredOption("-o, --out <file>", "the PNG to write")
    .option("--auto-orient", "turn it first as its EXIF orientation says (the reference does not)")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Examples:
  $ diptych preprocess photo.jpg --size 224 --out crop.png`,
    )
    .action(async (file: string, { size, out, autoOrient = false, json }: Options) => {
      const picture = await decodePicture(file, { autoOrient });
      const config = openaiPreprocess(size);
      const [height, width] = cropSize(config);
      await writePng(out, cropPicture(picture, config), width, height);
      const from = { width: picture.width, height: picture.height, mode: picture.mode };
      if (json) printJson({ picture: file, ...from, crop: out, size });
      else notice(`${file} (${from.width}×${from.height}, ${from.mode}) → ${out} (${width}×${height})`);
    });
}
