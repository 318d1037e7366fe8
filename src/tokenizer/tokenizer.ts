/**
 * @file Byte-level BPE (Sennrich et al. 2016) as CLIP applies it. Follows OpenAI's `simple_tokenizer.py`: the text is
 * cleaned, split into words, each word becomes byte symbols of which the last carries `</w>`, and the merge that was
 * learned first is applied until none is left. Ids: 256 byte symbols, the same 256 with `</w>`, the merges in order,
 * the start and the end token; or as a `vocab.json` says.
 */
import { DiptychError } from "../errors.js";
import { byteOrder, byteSymbols, spell, wordEnd } from "./bytes.js";
import type { TextCleaning } from "./clean.js";
import { splitWords } from "./split.js";

/** Two symbols that become one. Their place in the list is their priority: first learned, first applied. */
export type Merge = readonly [left: string, right: string];

export interface TokenizerOptions {
  readonly merges: readonly Merge[];
  /** Symbol → id, where a file decides the ids. Without it they are counted up in CLIP's order. */
  readonly vocabulary?: ReadonlyMap<string, number>;
  /** "<|startoftext|>" unless given; open_clip writes "<start_of_text>". */
  readonly startToken?: string;
  /** "<|endoftext|>" unless given; open_clip writes "<end_of_text>". */
  readonly endToken?: string;
  /** "lower" unless given: what OpenAI does. */
  readonly clean?: TextCleaning;
}

/** What every tokenizer does. */
interface Encoder {
  /** Rows that a token embedding needs: the largest id + 1. */
  readonly vocabularySize: number;
  /** Before every text; null where texts begin without a marker (SigLIP). */
  readonly startId: number | null;
  /** Behind every text; null where texts end without a marker. */
  readonly endId: number | null;
  /** What fills a text up to the length of the others. */
  readonly padId: number;
  readonly clean: TextCleaning;
  /** The ids of a text, without the start and end tokens. */
  encode(text: string): number[];
  /** The text that ids spell; where this is CLIP's BPE, each word is followed by a space. */
  decode(ids: Iterable<number>): string;
}

/** CLIP's own kind. */
export interface BpeTokenizer extends Encoder {
  readonly kind: "bpe";
  readonly startId: number;
  readonly endId: number;
  readonly merges: readonly Merge[];
  /** Symbol → id, special tokens included. */
  readonly vocabulary: ReadonlyMap<string, number>;
}

/** Any other, as a `tokenizer.json` describes it. */
export interface JsonTokenizer extends Encoder {
  readonly kind: "json";
  readonly files: TokenizerJson;
  /** Whether the end marker was replaced by id 0. */
  readonly endsWithZero: boolean;
}

export type Tokenizer = BpeTokenizer | JsonTokenizer;

/** The texts of two files of a Hugging Face folder. */
export interface TokenizerJson {
  readonly "tokenizer.json": string;
  readonly "tokenizer_config.json": string;
}

/** Captions repeat their words: with this many kept, nearly every word is looked up instead of merged. */
const cachedWords = 65_536;

/** Longer words are rarely seen twice, and would make the cache's size depend on the text. */
const cachedWordLength = 64;

export function createTokenizer(options: TokenizerOptions): BpeTokenizer {
  const { merges, startToken = "<|startoftext|>", endToken = "<|endoftext|>", clean = "lower" } = options;
  const vocabulary = options.vocabulary ?? clipVocabulary(merges, [startToken, endToken]);
  const id = (symbol: string): number => {
    const found = vocabulary.get(symbol);
    if (found === undefined) {
      throw new DiptychError(
        "BadVocabulary",
        `The vocabulary has no symbol ${JSON.stringify(symbol)}.`,
        "Give the vocabulary and the merges of one and the same byte-level BPE.",
      );
    }
    return found;
  };
  const startId = id(startToken);
  const endId = id(endToken);
  let vocabularySize = 0;
  for (const value of vocabulary.values()) vocabularySize = Math.max(vocabularySize, value + 1);
  const symbols = new Map(Array.from(vocabulary, ([symbol, value]) => [value, symbol]));

  const bpe = byteLevelBpe(merges, vocabularySize, id);
  const split = splitWords([startToken, endToken], clean);
  const specials: readonly (readonly [string, readonly number[]])[] = [
    [startToken, [startId]],
    [endToken, [endId]],
  ];
  let cache = new Map(specials);

  return {
    kind: "bpe",
    vocabularySize,
    startId,
    endId,
    padId: 0,
    merges,
    vocabulary,
    clean,
    encode(text) {
      const ids: number[] = [];
      for (const word of split(text)) {
        let wordIds = cache.get(word);
        if (wordIds === undefined) {
          wordIds = bpe(word);
          if (cache.size >= cachedWords) cache = new Map(specials);
          if (word.length <= cachedWordLength) cache.set(word, wordIds);
        }
        for (const wordId of wordIds) ids.push(wordId);
      }
      return ids;
    },
    decode(ids) {
      const spelled = Array.from(ids, (value) => {
        const symbol = symbols.get(value);
        if (symbol === undefined) {
          throw new DiptychError(
            "UnknownToken",
            `No token has the id ${value}; the vocabulary has ${vocabularySize}.`,
            "Decode with the tokenizer that made these ids.",
          );
        }
        return symbol;
      });
      return spell(spelled.join(""));
    },
  };
}

function clipVocabulary(merges: readonly Merge[], specialTokens: readonly string[]): Map<string, number> {
  const bytes = byteOrder.map((byte) => byteSymbols[byte]!);
  const symbols = [
    ...bytes,
    ...bytes.map((symbol) => symbol + wordEnd),
    ...merges.map(([left, right]) => left + right),
    ...specialTokens,
  ];
  return new Map(symbols.map((symbol, index) => [symbol, index]));
}

/** Word → ids. A pair of ids is one number, left · vocabularySize + right, and looks up its merge's priority. */
function byteLevelBpe(
  merges: readonly Merge[],
  vocabularySize: number,
  id: (symbol: string) => number,
): (word: string) => number[] {
  const middle = Int32Array.from(byteSymbols, id);
  const last = Int32Array.from(byteSymbols, (symbol) => id(symbol + wordEnd));
  const merged = Int32Array.from(merges, ([left, right]) => id(left + right));
  const ranks = new Map(merges.map(([left, right], rank) => [id(left) * vocabularySize + id(right), rank]));
  const unranked = merges.length;
  const rank = (left: number, right: number): number => ranks.get(left * vocabularySize + right) ?? unranked;
  const encoder = new TextEncoder();

  return (word) => {
    const bytes = encoder.encode(word);
    let length = bytes.length;
    const ids = Int32Array.from(bytes, (byte, i) => (i === length - 1 ? last : middle)[byte]!);
    // pairRanks[i] belongs to (ids[i], ids[i + 1]): a round scans it and looks up only what its merges have changed.
    const pairRanks = Int32Array.from(ids, (left, i) => (i === length - 1 ? unranked : rank(left, ids[i + 1]!)));
    while (length > 1) {
      let best = unranked;
      for (let i = 0; i < length; i++) if (pairRanks[i]! < best) best = pairRanks[i]!;
      if (best === unranked) break;
      let kept = 0;
      let joined = false; // whether the symbol just kept is new
      for (let i = 0; i < length; i++) {
        const join = pairRanks[i] === best;
        ids[kept] = join ? merged[best]! : ids[i]!;
        if (kept > 0 && (join || joined)) pairRanks[kept - 1] = rank(ids[kept - 1]!, ids[kept]!);
        if (join) i++;
        pairRanks[kept++] = pairRanks[i]!;
        joined = join;
      }
      length = kept;
    }
    return Array.from(ids.subarray(0, length));
  };
}
