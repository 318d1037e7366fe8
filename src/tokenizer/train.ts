/**
 * @file Learns the merges of a byte-level BPE from captions (Sennrich et al. 2016, algorithm 1, over CLIP's words).
 * The most frequent pair of neighbouring symbols becomes a symbol, again and again; of equally frequent pairs the one
 * whose symbols are older wins, so that the same captions always give the same merges.
 *
 * Equal words are counted once, and a merge touches only the words that hold its pair.
 */
import { DiptychError } from "../errors.js";
import { byteOrder, byteSymbols, wordEnd } from "./bytes.js";
import { splitWords } from "./split.js";
import type { Merge } from "./tokenizer.js";

/** 256 byte symbols, the same with a word's end, the start and the end token. */
const smallestVocabulary = 514;

interface Word {
  /** Symbol ids. */
  symbols: number[];
  readonly count: number;
}

interface Pair {
  readonly left: number;
  readonly right: number;
  count: number;
  /** Words that hold, or once held, this pair. */
  readonly words: Set<Word>;
}

/**
 * Merges for a vocabulary of `vocabularySize` symbols: 512 + merges + 2. There are fewer merges where no pair of
 * symbols is left that occurs twice. Throws `EmptyCaptions`, `BadVocabularySize`.
 */
export function trainMerges(captions: Iterable<string>, vocabularySize: number): Merge[] {
  if (!Number.isInteger(vocabularySize) || vocabularySize < smallestVocabulary) {
    throw new DiptychError(
      "BadVocabularySize",
      `A vocabulary of ${vocabularySize} symbols was asked for.`,
      `Ask for a whole number of at least ${smallestVocabulary}: 512 byte symbols and two special tokens.`,
    );
  }
  const names = byteOrder.map((byte) => byteSymbols[byte]!);
  names.push(...names.map((symbol) => symbol + wordEnd));
  const known = new Set(names);

  const pairs = new Map<string, Pair>();
  for (const word of countWords(captions, names)) addPairs(pairs, word, 1);
  const queue = new PairQueue();
  for (const pair of pairs.values()) queue.push(pair);

  const merges: Merge[] = [];
  while (merges.length < vocabularySize - smallestVocabulary) {
    const pair = queue.pop();
    if (pair === undefined || pair.count < 2) break;
    const name = names[pair.left]! + names[pair.right]!;
    // "ab" + "c" after "a" + "bc": a second way to a symbol that has an id already.
    if (known.has(name)) continue;
    known.add(name);
    merges.push([names[pair.left]!, names[pair.right]!]);
    const symbol = names.push(name) - 1;
    const grown = new Set<Pair>();
    for (const word of pair.words) {
      addPairs(pairs, word, -1);
      word.symbols = join(word.symbols, pair, symbol);
      for (const changed of addPairs(pairs, word, 1)) {
        if (changed.left === symbol || changed.right === symbol) grown.add(changed);
      }
    }
    for (const changed of grown) queue.push(changed);
  }
  return merges;
}

function countWords(captions: Iterable<string>, names: readonly string[]): Word[] {
  const split = splitWords([], "lower");
  const counts = new Map<string, number>();
  for (const caption of captions) {
    for (const word of split(caption)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  if (counts.size === 0) {
    throw new DiptychError(
      "EmptyCaptions",
      "There is not a single word in the captions.",
      "Give at least one caption to learn a vocabulary from.",
    );
  }
  const ids = new Map(names.map((name, id) => [name, id]));
  const encoder = new TextEncoder();
  return Array.from(counts, ([text, count]) => {
    const letters = Array.from(encoder.encode(text), (byte) => byteSymbols[byte]!);
    letters.push(letters.pop()! + wordEnd);
    return { symbols: letters.map((letter) => ids.get(letter)!), count };
  });
}

/** Counts a word's pairs in (sign 1) or out (sign −1); returns them. */
function addPairs(pairs: Map<string, Pair>, word: Word, sign: 1 | -1): Pair[] {
  const { symbols, count } = word;
  return symbols.slice(1).map((right, i) => {
    const left = symbols[i]!;
    const key = `${left} ${right}`;
    let pair = pairs.get(key);
    if (pair === undefined) {
      pair = { left, right, count: 0, words: new Set() };
      pairs.set(key, pair);
    }
    pair.count += sign * count;
    pair.words.add(word);
    return pair;
  });
}

function join(symbols: readonly number[], { left, right }: Pair, symbol: number): number[] {
  const joined: number[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      joined.push(symbol);
      i++;
    } else joined.push(symbols[i]!);
  }
  return joined;
}

/**
 * A binary heap, most frequent pair first. Counts change while pairs wait: a pair is pushed again when its count has
 * grown, and goes back when its count has shrunk by the time it comes out.
 */
class PairQueue {
  readonly #heap: Entry[] = [];

  push(pair: Pair): void {
    const heap = this.#heap;
    const entry = { pair, count: pair.count };
    let i = heap.push(entry) - 1;
    for (let parent = (i - 1) >> 1; i > 0 && before(entry, heap[parent]!); parent = (i - 1) >> 1) {
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  pop(): Pair | undefined {
    for (let top = this.#popEntry(); top !== undefined; top = this.#popEntry()) {
      if (top.count === top.pair.count) return top.pair;
      if (top.count > top.pair.count) this.push(top.pair);
    }
    return undefined;
  }

  #popEntry(): Entry | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const entry = heap.pop();
    if (entry === undefined || heap.length === 0) return top;
    let i = 0;
    for (let child = 1; child < heap.length; child = 2 * i + 1) {
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, entry)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = entry;
    return top;
  }
}

interface Entry {
  readonly pair: Pair;
  /** The pair's count when it was pushed. */
  readonly count: number;
}

function before(a: Entry, b: Entry): boolean {
  return (b.count - a.count || a.pair.left - b.pair.left || a.pair.right - b.pair.right) < 0;
}
