/** @file The tokenizer files of a checkpoint folder: `vocab.json` with `merges.txt`, or Hugging Face's `tokenizer.json`. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import {
  type BpeTokenizer,
  formatMerges,
  formatVocabulary,
  readTokenizerFiles,
  readTokenizerJson,
  type Tokenizer,
} from "../tokenizer/index.js";
import type { FolderConfig } from "./checkpoint.js";
import { exists } from "./files.js";
import { checkJson, parseJson } from "./json.js";

/** What the files leave open: the names of the special tokens, and how a text is cleaned. */
export type TokenizerSettings = Partial<NonNullable<FolderConfig["tokenizer"]>>;

const mergeSchema = z.union([z.string(), z.tuple([z.string(), z.string()]).transform((pair) => pair.join(" "))]);
/** What tells a `tokenizer.json` of CLIP's kind from others, which may be a hundred times as large. */
const clipMark = z.object({ model: z.object({ end_of_word_suffix: z.literal("</w>") }) });
const clipSchema = z.object({
  model: z.object({
    type: z.literal("BPE").default("BPE"),
    end_of_word_suffix: z.literal("</w>"),
    vocab: z.record(z.string(), z.number()),
    merges: z.array(mergeSchema),
  }),
});
const token = z.union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)]).nullish();
const tokenizerConfigSchema = z.object({ bos_token: token, eos_token: token });

/**
 * The folder's tokenizer, or null where it has none. CLIP's kind becomes ours, from `vocab.json` and `merges.txt` or from
 * `tokenizer.json`; any other is the library's.
 */
export async function readTokenizer(folder: string, settings: TokenizerSettings = {}): Promise<Tokenizer | null> {
  const file = (name: string): string => path.join(folder, name);
  const text = async (name: string): Promise<string | null> =>
    (await exists(file(name))) ? readFile(file(name), "utf8") : null;

  const config = (await text("tokenizer_config.json")) ?? "{}";
  const { bos_token, eos_token } = checkJson(
    tokenizerConfigSchema,
    parseJson(config, file("tokenizer_config.json")),
    file("tokenizer_config.json"),
  );
  const startToken = settings.startToken ?? bos_token;
  const endToken = settings.endToken ?? eos_token;
  const options = {
    ...(startToken && { startToken }),
    ...(endToken && { endToken }),
    ...(settings.clean && { clean: settings.clean }),
  };
  const pipeline = await text("tokenizer.json");
  const parsed = pipeline === null ? undefined : parseJson(pipeline, file("tokenizer.json"));
  if (pipeline !== null && !clipMark.safeParse(parsed).success) {
    const files = { "tokenizer.json": pipeline, "tokenizer_config.json": config };
    return readTokenizerJson(files, {
      ...(settings.clean && { clean: settings.clean }),
      ...(settings.endsWithZero && { endsWithZero: true }),
    });
  }
  const vocabulary = await text("vocab.json");
  const merges = await text("merges.txt");
  if (vocabulary !== null && merges !== null) return readTokenizerFiles({ ...options, vocabulary, merges });
  if (pipeline === null) return null;
  const { model } = checkJson(clipSchema, parsed, file("tokenizer.json"));
  return readTokenizerFiles({ ...options, vocabulary: JSON.stringify(model.vocab), merges: model.merges.join("\n") });
}

const sentencePieceNames = ["spiece.model", "sentencepiece.bpe.model", "tokenizer.model"];

/** Where a folder's tokenizer comes from, in words; a SentencePiece model alone is not read. */
export async function tokenizerOrigin(folder: string, tokenizer: Tokenizer | null): Promise<string> {
  if (tokenizer) return "the files beside the weights";
  for (const name of sentencePieceNames) {
    if (await exists(path.join(folder, name))) return `none: ${name} is not read without a tokenizer.json`;
  }
  return "none beside the weights";
}

/** Name → text of the files that hold a tokenizer. */
export const tokenizerTexts = (tokenizer: Tokenizer): Readonly<Record<string, string>> =>
  tokenizer.kind === "json"
    ? { ...tokenizer.files }
    : { "vocab.json": formatVocabulary(tokenizer), "merges.txt": formatMerges(tokenizer.merges) };

/** The settings that the files do not hold. */
export function tokenizerSettings(tokenizer: Tokenizer): NonNullable<FolderConfig["tokenizer"]> {
  const { clean } = tokenizer;
  if (tokenizer.kind === "json") return { clean, ...(tokenizer.endsWithZero && { endsWithZero: true }) };
  return { ...markersOf(tokenizer), clean };
}

function markersOf({ vocabulary, startId, endId }: BpeTokenizer): { startToken: string; endToken: string } {
  const symbol = (id: number): string => [...vocabulary].find(([, value]) => value === id)![0];
  return { startToken: symbol(startId), endToken: symbol(endId) };
}

/**
 * The further files that transformers and transformers.js look for. Their pipeline knows no text repair: it normalises to
 * NFC, collapses white space and lower-cases, so rare texts get other ids than here.
 */
export function huggingFaceTokenizer(tokenizer: Tokenizer, contextLength: number): Readonly<Record<string, string>> {
  if (tokenizer.kind === "json") return {};
  const { startToken, endToken } = markersOf(tokenizer);
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
