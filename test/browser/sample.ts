/** @file The same small work for Node and the browser: a random tiny model, one picture and two texts, through every pure room. */
import {
  createClip,
  createTokenizer,
  memorySource,
  openaiPreprocess,
  parseSafetensors,
  presets,
  type Runtime,
  readTensor,
  trainMerges,
} from "../../src/index.js";

export const config = presets["ViT-test"];
const texts = ["a photo of a cat", "a naïve cat"];

/** A colour gradient with an edge, larger than the model's input and not square, so that it is resized and cropped. */
function picture() {
  const [width, height] = [57, 43];
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return x > y ? [4 * x, 5 * y, 90][i % 3]! : 30;
  });
  return { mode: "RGB", width, height, data } as const;
}

/** Embeddings of the picture [1, E] and of the texts [2, E]. `weights` is a safetensors file. */
export async function embedSample(weights: Uint8Array, runtime: Runtime) {
  const { tensors } = await parseSafetensors(memorySource("weights", weights));
  const parameters = new Map(
    await Promise.all(tensors.map(async (stored) => [stored.name, await readTensor(stored)] as const)),
  );
  const tokenizer = createTokenizer({ merges: trainMerges(texts, config.text.vocabularySize) });
  const preprocess = openaiPreprocess(config.image.imageSize);
  const clip = createClip({ config, preprocess, tokenizer, parameters, origin: "test" }, runtime);
  const images = await clip.embedImages([picture()]);
  const captions = await clip.embedTexts(texts);
  await clip.dispose();
  return { images: [...images.data], texts: [...captions.data] };
}
