/** @file A CLIP of random weights that fits into a test: 32×32 pictures, two layers a tower. */
import type { Checkpoint } from "../../src/checkpoint/index.js";
import { type ClipConfig, parameterTable, presets } from "../../src/clip/index.js";
import { openaiPreprocess, randomStream } from "../../src/image/index.js";
import { createTokenizer, trainMerges } from "../../src/tokenizer/index.js";

const captions = ["a photo of a cat", "a photo of a dog", "two dogs playing in the snow", "a red car", "a blue circle"];

export function tinyCheckpoint(contextLength = 32): Checkpoint {
  const tokenizer = createTokenizer({ merges: trainMerges(captions, 560) });
  const preset = presets["ViT-test"];
  const config: ClipConfig = {
    ...preset,
    text: { ...preset.text, vocabularySize: tokenizer.vocabularySize, contextLength },
  };
  const random = randomStream([7]);
  const parameters = new Map(
    parameterTable(config).map(({ name, shape }) => {
      const fanIn = shape.at(-1) ?? 1;
      const size = shape.reduce((a, b) => a * b, 1);
      const uniform = () => (random() - 0.5) * (3 / Math.sqrt(fanIn));
      const data = Float32Array.from({ length: size }, name === "logit_scale" ? () => Math.log(20) : uniform);
      return [name, { data, shape }];
    }),
  );
  const preprocess = openaiPreprocess(config.image.imageSize);
  return { config, preprocess, tokenizer, parameters, origin: "random weights of a test" };
}
