// node examples/zero-shot.mjs MODEL PICTURE…
import { best, classify, row, zeroShotClassifier } from "diptych";
import { loadClip } from "diptych/node";

const [model, ...pictures] = process.argv.slice(2);
const classes = ["cat", "dog", "car", "flower", "ship"];

const clip = await loadClip(model);
const classifier = await zeroShotClassifier(clip, classes, ["a photo of a {}.", "a drawing of a {}."]);
const probabilities = classify(clip, await clip.embedImages(pictures), classifier); // [N, 5]

pictures.forEach((picture, i) => {
  const [{ index, score }] = best(row(probabilities, i), 1);
  console.log(`${picture}: ${classes[index]} (${(100 * score).toFixed(0)}%)`);
});
await clip.dispose();
