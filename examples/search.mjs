// node examples/search.mjs MODEL FOLDER "a red car"
import { readdir } from "node:fs/promises";
import path from "node:path";
import { search } from "diptych";
import { loadClip } from "diptych/node";

const [model, folder, query] = process.argv.slice(2);
const pictures = (await readdir(folder)).filter((name) => /\.(jpe?g|png|webp)$/i.test(name)).sort();

const clip = await loadClip(model);
const images = await clip.embedImages(pictures.map((name) => path.join(folder, name)));
const { data: wanted } = await clip.embedTexts([query]);

for (const { index, score } of search(wanted, images, 3)) console.log(`${score.toFixed(3)}  ${pictures[index]}`);
await clip.dispose();
