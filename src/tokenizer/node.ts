/**
 * @file CLIP's own tokenizer, from the asset that the package carries. Needs Node's file system; in a browser, fetch the
 * asset and call `createTokenizer({ merges: parseMerges(text) })`.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { DiptychError } from "../errors.js";
import { type BpeTokenizer, createTokenizer, parseMerges, type TokenizerOptions } from "./index.js";

/** Lies as far from `src/tokenizer` as from `dist/tokenizer`. */
const asset = new URL("../../assets/clip-merges.txt.gz", import.meta.url);

/** SHA-256 of the unpacked `merges.txt`: 48,894 merges. */
const assetHash = "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a";

/** The tokenizer of OpenAI's models and of nearly all of open_clip's: 49,408 ids. Throws `CorruptAsset`. */
export async function loadClipTokenizer(options: Omit<TokenizerOptions, "merges"> = {}): Promise<BpeTokenizer> {
  const bytes = await promisify(gunzip)(await readFile(asset), { maxOutputLength: 1 << 20 }).catch(corrupt);
  if (createHash("sha256").update(bytes).digest("hex") !== assetHash) corrupt();
  return createTokenizer({ ...options, merges: parseMerges(bytes.toString("utf8")) });
}

function corrupt(cause?: unknown): never {
  throw new DiptychError(
    "CorruptAsset",
    "assets/clip-merges.txt.gz is not the file that this package was published with.",
    "Install the package again.",
    { cause },
  );
}
