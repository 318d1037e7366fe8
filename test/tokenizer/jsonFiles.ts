/** @file Two small tokenizers that the reference library (tokenizers 0.23) trained on six sentences. */
import type { TokenizerJson } from "../../src/tokenizer/index.js";

const special = (tokens: readonly string[]) =>
  tokens.map((content, id) => ({
    ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  }));
const around = (start: string | null, end: string, ids: Readonly<Record<string, number>>) => ({
  type: "TemplateProcessing",
  single: [
    ...(start ? [{ SpecialToken: { id: start, type_id: 0 } }] : []),
    { Sequence: { id: "A", type_id: 0 } },
    { SpecialToken: { id: end, type_id: 0 } },
  ],
  pair: [],
  special_tokens: Object.fromEntries(
    Object.entries(ids).map(([token, id]) => [token, { id: token, ids: [id], tokens: [token] }]),
  ),
});
export const files = (pipeline: object, settings: object): TokenizerJson => ({
  "tokenizer.json": JSON.stringify({ version: "1.0", truncation: null, padding: null, ...pipeline }),
  "tokenizer_config.json": JSON.stringify(settings),
});

/** SentencePiece's unigrams, with the normaliser of SigLIP's. */
export const unigram = files(
  {
    added_tokens: special(["<unk>", "</s>"]),
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Lowercase" },
        { type: "Replace", pattern: { Regex: "[!\"#$%&'()*+,\\-.:;=?@\\[\\]^_`{|}~]" }, content: "" },
        { type: "Replace", pattern: { Regex: "\\s+" }, content: " " },
        { type: "Strip", strip_left: true, strip_right: true },
      ],
    },
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
    post_processor: around(null, "</s>", { "</s>": 1 }),
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
    model: {
      type: "Unigram",
      unk_id: 0,
      byte_fallback: false,
      vocab: [
        ["<unk>", 0.0],
        ["</s>", 0.0],
        ["▁", -1.9515],
        ["e", -2.4937],
        ["h", -2.9764],
        ["n", -2.9764],
        ["s", -2.9764],
        ["a", -3.0296],
        ["c", -3.2081],
        ["▁a", -3.2851],
        ["▁t", -3.3337],
        ["o", -3.3369],
        ["at", -3.3374],
        ["f", -3.5101],
        ["▁dog", -3.5231],
        ["▁photo", -3.5254],
        ["▁o", -3.7197],
        ["d", -3.9445],
        ["r", -3.9446],
        ["l", -3.9446],
        ["be", -3.9446],
        ["▁drawing", -3.9575],
        ["t", -3.9903],
        ["p", -4.4575],
        ["g", -4.7278],
        ["i", -4.728],
        ["w", -4.728],
        ["k", -4.728],
        ["1", -4.728],
        ["y", -4.728],
        ["ß", -4.728],
        ["z", -4.728],
        ["ü", -4.728],
        ["2", -4.728],
        ["b", -5.0981],
        ["▁p", -5.0981],
      ],
    },
  },
  { pad_token: "</s>", eos_token: "</s>" },
);

/** BERT's word pieces. */
export const wordPieces = files(
  {
    added_tokens: special(["[PAD]", "[UNK]", "[CLS]", "[SEP]"]),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: around("[CLS]", "[SEP]", { "[CLS]": 2, "[SEP]": 3 }),
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(
        [
          "[PAD] [UNK] [CLS] [SEP] ! , 1 2 a b c d e f g h i k l n o p r s",
          "t u w y z ß ##f ##r ##a ##w ##i ##n ##g ##s ##p ##e ##l ##o ##h ##c ##t ##d ##b ##ß",
          "##y ##z ##2 th ##at the cat do of ph ##gs ##ot phot photo an dr ##aw ##in ##en dogs and draw drawin 12",
          "be kat on pl sp tw ub ##rg ##ro ##ac ##ay ##ie ##erg ##len ##ße ##zen dog photos",
        ]
          .join(" ")
          .split(" ")
          .map((piece, id) => [piece, id]),
      ),
    },
  },
  { pad_token: { content: "[PAD]" } },
);
