/**
 * @file The tokenizer room's face: text to ids as the references do it, in any JavaScript engine. `node.ts` adds CLIP's
 * own vocabulary from a file.
 */
export { markedIds, type TokenizeOptions, tokenize } from "./batch.js";
export { cleanText, type TextCleaning, textCleanings } from "./clean.js";
export { formatMerges, formatVocabulary, parseMerges, readTokenizerFiles, type TokenizerFiles } from "./files.js";
export { readTokenizerJson, type TokenizerJsonOptions } from "./json.js";
export {
  type BpeTokenizer,
  createTokenizer,
  type JsonTokenizer,
  type Merge,
  type Tokenizer,
  type TokenizerJson,
  type TokenizerOptions,
} from "./tokenizer.js";
export { trainMerges } from "./train.js";
