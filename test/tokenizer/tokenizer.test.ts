import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import {
  createTokenizer,
  formatMerges,
  formatVocabulary,
  parseMerges,
  readTokenizerFiles,
  type Tokenizer,
  tokenize,
  trainMerges,
} from "../../src/tokenizer/index.js";
import { loadClipTokenizer } from "../../src/tokenizer/node.js";

const captions = ["a photo of a cat", "a photo of a dog", "two cats and a dog's toy", "the cat sat on the photo"];

/** Any text of these letters is left as it is by cleaning, but for white space at its ends. */
const plainText = fc.string({ unit: fc.constantFrom(..."abcdet 'x9é日🙂"), maxLength: 30 });

describe("CLIP's own tokenizer", () => {
  let clip: Tokenizer;
  beforeAll(async () => {
    clip = await loadClipTokenizer();
  });

  test("has 49,408 ids, the last two of them start and end", () => {
    expect([clip.vocabularySize, clip.startId, clip.endId]).toEqual([49408, 49406, 49407]);
  });

  test("knows the ids of a well-known caption", () => {
    expect(clip.encode("a photo of a cat")).toEqual([320, 1125, 539, 320, 2368]);
    expect(clip.decode([49406, 320, 1125, 539, 320, 2368, 49407])).toBe(
      "<|startoftext|>a photo of a cat <|endoftext|>",
    );
  });

  test("takes an apostrophe and a long s for a contraction, and loses a combining iota", () => {
    expect(clip.encode("it'ſ")).toEqual([...clip.encode("it"), ...clip.encode("'ſ")]);
    expect(clip.encode("a\u0345b")).toEqual([...clip.encode("a"), ...clip.encode("b")]);
  });

  test("merges very long words in reasonable time", () => {
    const word = Array.from({ length: 100_000 }, (_, i) => "etaoinshrdlu"[(i * i + (i >> 3)) % 12]).join("");
    const ids = clip.encode(word);
    expect(clip.decode(ids)).toBe(`${word} `);
  });
});

describe("a trained tokenizer", () => {
  const merges = trainMerges(captions, 522);
  const tokenizer = createTokenizer({ merges });

  test("has the vocabulary size that was asked for", () => {
    expect(tokenizer.vocabularySize).toBe(522);
    expect(tokenizer.endId).toBe(521);
  });

  test("is smaller where no pair occurs twice", () => {
    expect(trainMerges(["abcd"], 1000)).toEqual([]);
    expect(trainMerges(["ab ab"], 1000)).toEqual([["a", "b</w>"]]);
  });

  test("merges the most frequent pair first, and the older symbols of equally frequent ones", () => {
    expect(trainMerges(["ab cd cd", "ab cd"], 1000)).toEqual([
      ["c", "d</w>"],
      ["a", "b</w>"],
    ]);
    expect(trainMerges(["cd ab", "cd ab"], 1000)[0]).toEqual(["a", "b</w>"]);
  });

  test("learns what a count from scratch after every merge would learn", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom(..."aab bc"), maxLength: 20 }), { maxLength: 8 }),
        (texts) => {
          fc.pre(texts.some((text) => text.trim() !== ""));
          expect(trainMerges(texts, 530)).toEqual(slowMerges(texts, 16));
        },
      ),
    );
  });

  test("spells any text back", () => {
    fc.assert(
      fc.property(plainText, (text) => {
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids).replaceAll(" ", "")).toBe(text.replaceAll(" ", ""));
        expect(ids.every((id) => id < tokenizer.startId)).toBe(true);
      }),
    );
  });

  test("comes back from its files with the same ids", () => {
    const restored = readTokenizerFiles({ vocabulary: formatVocabulary(tokenizer), merges: formatMerges(merges) });
    expect(restored.vocabulary).toEqual(tokenizer.vocabulary);
    for (const caption of captions) expect(restored.encode(caption)).toEqual(tokenizer.encode(caption));
  });

  test("takes its ids from the vocabulary where one is given", () => {
    const reversed = new Map([...tokenizer.vocabulary].map(([symbol, id]) => [symbol, 521 - id]));
    const mirrored = createTokenizer({ merges, vocabulary: reversed });
    expect(mirrored.encode("a cat")).toEqual(tokenizer.encode("a cat").map((id) => 521 - id));
    expect(mirrored.startId).toBe(1);
  });

  test("refuses to learn from nothing, or a vocabulary without room for the bytes", () => {
    expect(() => trainMerges([], 600)).toThrow("EmptyCaptions");
    expect(() => trainMerges([" ", ""], 600)).toThrow("EmptyCaptions");
    expect(() => trainMerges(captions, 513)).toThrow("BadVocabularySize");
  });
});

describe("tokenize", () => {
  const tokenizer = createTokenizer({ merges: [] });

  test("pads a batch with zeros to its longest text", () => {
    const { data, shape } = tokenize(tokenizer, ["!", "ab"], { contextLength: 77 });
    expect(shape).toEqual([2, 4]);
    expect([...data]).toEqual([512, 256, 513, 0, 512, 64, 256 + 65, 513]);
  });

  test("gives an empty matrix for no texts", () => {
    expect(tokenize(tokenizer, [], { contextLength: 77 })).toEqual({ data: new Int32Array(0), shape: [0, 0] });
  });

  test("says which text is too long, and how to cut it", () => {
    expect(() => tokenize(tokenizer, ["ab", "abcdefg"], { contextLength: 8 })).toThrow(
      'TextTooLong: Text 1 ("abcdefg") has 9 tokens and this model reads 8. Shorten it, or pass { truncate: true }.',
    );
    const { data } = tokenize(tokenizer, ["abcdefg"], { contextLength: 4, truncate: true });
    expect([...data]).toEqual([512, 64, 65, 513]);
  });
});

describe("tokenizer files that do not fit", () => {
  const tokenizer = createTokenizer({ merges: [["a", "b"]] });
  const vocabulary = formatVocabulary(tokenizer);

  test.each([
    ["merges that are not pairs", { vocabulary, merges: "a b c\n" }, "BadMerges"],
    ["merges of another vocabulary", { vocabulary, merges: "a c\n" }, "BadVocabulary"],
    ["a vocabulary that is not JSON", { vocabulary: "{", merges: "" }, "BadVocabulary"],
    ["a vocabulary without the bytes", { vocabulary: '{"a": 0}', merges: "" }, "BadVocabulary"],
    ["two symbols with one id", { vocabulary: '{"a": 0, "b": 0}', merges: "" }, "BadVocabulary"],
    ["an id as large as no embedding", { vocabulary: '{"a": 1000000000000}', merges: "" }, "BadVocabulary"],
    ["an id that is no number", { vocabulary: '{"a": "0"}', merges: "" }, "BadVocabulary"],
  ])("are refused: %s", (_, files, code) => {
    expect(() => readTokenizerFiles(files)).toThrow(code);
  });

  test("a version line and Windows line ends are no merges", () => {
    expect(parseMerges("#version: 0.2\r\na b\r\nc d</w>\r\n")).toEqual([
      ["a", "b"],
      ["c", "d</w>"],
    ]);
  });
});

/** Algorithm 1 of Sennrich et al. as plainly as possible. */
function slowMerges(texts: readonly string[], most: number): string[][] {
  const age = [...createTokenizer({ merges: [] }).vocabulary.keys()].slice(0, 512);
  let words = texts
    .flatMap((text) => text.split(" "))
    .filter((word) => word !== "")
    .map((word) => [...word.slice(0, -1), `${word.at(-1)}</w>`]);
  const merges: string[][] = [];
  while (merges.length < most) {
    const counts = new Map<string, number>();
    for (const word of words) {
      word.slice(1).forEach((right, i) => {
        const pair = `${word[i]} ${right}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      });
    }
    const candidates = [...counts]
      .map(([pair, count]) => ({ count, symbols: pair.split(" ") }))
      .filter(({ count, symbols }) => count >= 2 && !age.includes(symbols.join("")))
      .sort((a, b) => {
        const [[left, right], [otherLeft, otherRight]] = [a, b].map(({ symbols }) =>
          symbols.map((s) => age.indexOf(s)),
        ) as [[number, number], [number, number]];
        return b.count - a.count || left - otherLeft || right - otherRight;
      });
    const best = candidates[0]?.symbols;
    if (best === undefined) break;
    merges.push(best);
    age.push(best.join(""));
    words = words.map((word) => {
      const joined: string[] = [];
      for (let i = 0; i < word.length; i++) {
        if (word[i] === best[0] && word[i + 1] === best[1]) joined.push(`${word[i++]}${word[i]}`);
        else joined.push(word[i]!);
      }
      return joined;
    });
  }
  return merges;
}
