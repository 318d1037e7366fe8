/**
 * @file The timed process of `embed.mjs`: a ViT-B/32 of Diptych on the pictures of a folder, and on short texts.
 * usage: node bench/embedDiptych.mjs MODEL PICTURES
 */
import { readdirSync } from "node:fs";
import path from "node:path";
import { loadClip } from "../dist/node.js";
import { bestSeconds, noise } from "./measure.mjs";

const [model, pictures] = process.argv.slice(2);
const clip = await loadClip(model);
const files = readdirSync(pictures).map((name) => path.join(pictures, name));
const texts = Array.from({ length: 64 }, (_, i) => `a photo of a number ${i}.`);
const { contextLength, vocabularySize } = clip.config.text;
const pixels = { data: noise(16 * 3 * 224 * 224), shape: [16, 3, 224, 224] };
const padded = new Int32Array(64 * contextLength).map(() => Math.random() * vocabularySize);

async function measure(what, count, run) {
  console.log(JSON.stringify({ what, per_second: count / (await bestSeconds(run, 3)) }));
}

await measure("picture tower, batch 16", 16, () => clip.encodeImage(pixels));
await measure("files to embeddings", files.length, () => clip.embedImages(files));
await measure("texts, 77 tokens", 64, () => clip.encodeText({ data: padded, shape: [64, contextLength] }));
await measure("texts to embeddings", texts.length, () => clip.embedTexts(texts));
await clip.dispose();
