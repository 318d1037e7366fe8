/** @file Our side of `inputs.mjs`: prints one measurement a line. usage: node inputsDiptych.mjs CAPTIONS */
import { readFileSync } from "node:fs";
import { cropPicture, openaiPreprocess } from "../dist/image/index.js";
import { tokenize } from "../dist/tokenizer/index.js";
import { loadClipTokenizer } from "../dist/tokenizer/node.js";
import { bestSeconds } from "./measure.mjs";

const print = (what, per_second) => console.log(JSON.stringify({ what, per_second }));

const [width, height] = [1600, 1200];
const data = Uint8Array.from({ length: width * height * 3 }, () => Math.random() * 256);
const config = { ...openaiPreprocess(224), resize: "squash" };
const pictures = 20;
const resizing = await bestSeconds(() => {
  for (let i = 0; i < pictures; i++) cropPicture({ mode: "RGB", width, height, data }, config);
}, 5);
print("pictures resized", pictures / resizing);

const captions = readFileSync(process.argv[2], "utf8").split("\n");
const tokenizer = await loadClipTokenizer();
const encoding = await bestSeconds(() => tokenize(tokenizer, captions, { contextLength: 77, padTo: "context" }), 5);
print("captions to ids", captions.length / encoding);
