/** @file The tokenizer files of a checkpoint folder: `vocab.json` with `merges.txt`, or Hugging Face's `tokenizer.json`. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { formatMerges, formatVocabulary, readTokenizerFiles, type Tokenizer } from "../tokenizer/index.js";
import type { FolderConfig } from "./checkpoint.js";
import { exists } from "./files.js";
import { checkJson, parseJson } from "./json.js";

/** What the files leave open: the names of the special tokens, and how a text is cleaned. */
export type TokenizerSettings = Partial<NonNullable<FolderConfig["tokenizer"]>>;

const mergeSchema = z.union([z.string(), z.tuple([z.string(), z.string()]).transform((pair) => pair.join(" "))]);
const tokenizerSchema = z.object({
  model: z.object({
    type: z.literal("BPE").default("BPE"),
    end_of_word_suffix: z.literal("</w>"),
    vocab: z.record(z.string(), z.number()),
    merges: z.array(mergeSchema),
  }),
});
const token = z.union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)]).nullish();
const tokenizerConfigSchema = z.object({ bos_token: token, eos_token: token });

/** The folder's tokenizer, or null where it has none. */
export async function readTokenizer(folder: string, settings?: TokenizerSettings): Promise<Tokenizer | null> {
  const file = (name: string): string => path.join(folder, name);
  const text = (name: string): Promise<string> => readFile(file(name), "utf8");
  const json = async (name: string): Promise<unknown> => parseJson(await text(name), file(name));

  const { bos_token, eos_token } = (await exists(file("tokenizer_config.json")))
    ? checkJson(tokenizerConfigSchema, await json("tokenizer_config.json"), file("tokenizer_config.json"))
    : {};
  const options = {
    ...(bos_token && { startToken: bos_token }),
    ...(eos_token && { endToken: eos_token }),
    ...settings,
  };
  if ((await exists(file("vocab.json"))) && (await exists(file("merges.txt")))) {
    return readTokenizerFiles({ ...options, vocabulary: await text("vocab.json"), merges: await text("merges.txt") });
  }
  if (!(await exists(file("tokenizer.json")))) return null;
  const { model } = checkJson(tokenizerSchema, await json("tokenizer.json"), file("tokenizer.json"));
  return readTokenizerFiles({ ...options, vocabulary: JSON.stringify(model.vocab), merges: model.merges.join("\n") });
}

/** Name → text of `vocab.json` and `merges.txt`. */
export const tokenizerTexts = (tokenizer: Tokenizer): Readonly<Record<string, string>> => ({
  "vocab.json": formatVocabulary(tokenizer),
  "merges.txt": formatMerges(tokenizer.merges),
});

/** The settings that the two files do not hold. */
export function tokenizerSettings(tokenizer: Tokenizer): Required<TokenizerSettings> {
  const symbol = (id: number): string => [...tokenizer.vocabulary].find(([, value]) => value === id)![0];
  return { startToken: symbol(tokenizer.startId), endToken: symbol(tokenizer.endId), clean: tokenizer.clean };
}

/**
 * The further files that transformers and transformers.js look for. Their pipeline knows no text repair: it normalises to
 * NFC, collapses white space and lower-cases, so rare texts get other ids than here.
 */
export function huggingFaceTokenizer(tokenizer: Tokenizer, contextLength: number): Readonly<Record<string, string>> {
  const { startToken, endToken } = tokenizerSettings(tokenizer);
  const special = (id: number, content: string) => ({
    ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  });
  const literal = (text: string): string => text.replace(/[|\\{}()[\]^$+*?.]/g, "\\$&");
  const words = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
  const pattern = { Regex: `${literal(startToken)}|${literal(endToken)}|${words}` };
  const byteLevel = { type: "ByteLevel", trim_offsets: true, use_regex: true };
  const pipeline = {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [special(tokenizer.startId, startToken), special(tokenizer.endId, endToken)],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "NFC" },
        { type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
        ...(tokenizer.clean === "whitespace" ? [] : [{ type: "Lowercase" }]),
      ],
    },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern, behavior: "Removed", invert: true },
        { ...byteLevel, add_prefix_space: false },
      ],
    },
    post_processor: {
      type: "RobertaProcessing",
      sep: [endToken, tokenizer.endId],
      cls: [startToken, tokenizer.startId],
      trim_offsets: false,
      add_prefix_space: false,
    },
    decoder: { ...byteLevel, add_prefix_space: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: endToken,
      continuing_subword_prefix: "",
      end_of_word_suffix: "</w>",
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokenizer.vocabulary),
      merges: tokenizer.merges,
    },
  };
  const config = {
    tokenizer_class: "CLIPTokenizer",
    bos_token: startToken,
    eos_token: endToken,
    pad_token: endToken,
    unk_token: endToken,
    model_max_length: contextLength,
    do_lower_case: tokenizer.clean !== "whitespace",
  };
  return {
    "tokenizer.json": JSON.stringify(pipeline),
    "tokenizer_config.json": `${JSON.stringify(config, null, 2)}\n`,
  };
}
