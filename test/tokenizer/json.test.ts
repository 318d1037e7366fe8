import { describe, expect, test } from "vitest";
import { readTokenizerJson, tokenize } from "../../src/tokenizer/index.js";
import { files, unigram, wordPieces } from "./jsonFiles.js";

/** The ids are the reference library's. */
const texts = ["a photo of a cat", "The DOG, and 12 cats!", "drawings_of  übergroße dogs", ""];
const expected = {
  unigram: [
    [9, 15, 16, 13, 9, 2, 8, 12, 1],
    [10, 4, 3, 14, 9, 5, 17, 2, 28, 33, 2, 8, 12, 6, 1],
    [21, 6, 11, 13, 2, 32, 20, 18, 24, 18, 11, 30, 3, 14, 6, 1],
    [1],
  ],
  wordPieces: [
    [2, 8, 61, 56, 8, 54, 3],
    [2, 53, 88, 5, 68, 71, 54, 37, 4, 3],
    [2, 70, 58, 1, 56, 78, 84, 80, 86, 67, 3],
    [2, 3],
  ],
};

describe("another model's tokenizer.json", () => {
  test("SigLIP's kind: no start marker, padded to the context with its end marker", async () => {
    const tokenizer = await readTokenizerJson(unigram);
    expect([tokenizer.startId, tokenizer.endId, tokenizer.padId, tokenizer.vocabularySize]).toEqual([null, 1, 1, 36]);
    const { data, shape } = tokenize(tokenizer, texts, { contextLength: 16, padTo: "context" });
    expect(shape).toEqual([4, 16]);
    const padded = expected.unigram.map((ids) => [...ids, ...Array<number>(16 - ids.length).fill(1)]);
    expect([...data]).toEqual(padded.flat());
    expect(tokenizer.decode(tokenizer.encode("a photo of a cat"))).toBe("a photo of a cat");
  });

  test("BERT's kind: with markers on both sides; CLIPA puts zero for the last", async () => {
    const tokenizer = await readTokenizerJson(wordPieces);
    for (const [i, text] of texts.entries()) {
      expect([...tokenize(tokenizer, [text], { contextLength: 30 }).data]).toEqual(expected.wordPieces[i]);
    }
    const stripped = await readTokenizerJson(wordPieces, { endsWithZero: true });
    const ids = [2, 8, 61, 56, 8, 54, 0, 0];
    expect([...tokenize(stripped, texts.slice(0, 1), { contextLength: 8, padTo: "context" }).data]).toEqual(ids);
  });

  test("a text that is too long is cut before its end marker, or refused", async () => {
    const tokenizer = await readTokenizerJson(unigram);
    const [text] = texts;
    expect([...tokenize(tokenizer, [text!], { contextLength: 4, truncate: true }).data]).toEqual([9, 15, 16, 1]);
    expect(() => tokenize(tokenizer, [text!], { contextLength: 4 })).toThrow("has 9 tokens and this model reads 4");
  });

  test("open_clip's cleaning comes before the file's own", async () => {
    const repaired = await readTokenizerJson(unigram, { clean: "canonicalize" });
    expect(repaired.encode("&lt;a_photo&gt;")).toEqual((await readTokenizerJson(unigram)).encode("a photo"));
  });

  test("broken files are refused by name", async () => {
    await expect(readTokenizerJson({ ...unigram, "tokenizer.json": "{" })).rejects.toThrow("is no JSON object");
    const unknown = files({ added_tokens: [], model: { type: "Unheard" } }, {});
    await expect(readTokenizerJson(unknown)).rejects.toThrow("BadTokenizer");
  });
});
