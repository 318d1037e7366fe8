// node examples/embed.mjs MODEL PICTURE…
import { similarityMatrix } from "diptych";
import { loadClip } from "diptych/node";

const [model, ...pictures] = process.argv.slice(2);
const texts = ["a photo of a cat", "a red car"];

const clip = await loadClip(model);
const images = await clip.embedImages(pictures); // { data: Float32Array, shape: [N, E] }, every row of length 1
const captions = await clip.embedTexts(texts); // [2, E]
const { data } = similarityMatrix(images, captions); // [N, 2], cosines

pictures.forEach((picture, i) => {
  for (const [j, text] of texts.entries()) console.log(`${data[i * texts.length + j].toFixed(3)}  ${picture}  ${text}`);
});
await clip.dispose();
