/** @file Reads the tokenizer's goldens: files with one JSON value a line. */
import { readFileSync } from "node:fs";
import { shared } from "../goldens.js";

export const readJsonLines = <T>(name: string): T[] =>
  readFileSync(shared(`goldens/tokenizer/${name}.jsonl`), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
