import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createTokenizer, readTokenizerFiles, tokenize } from "../../src/tokenizer/index.js";
import { loadClipTokenizer } from "../../src/tokenizer/node.js";
import { golden } from "../clip/goldenModel.js";
import { hasShared, shared } from "../goldens.js";
import { readJsonLines } from "./jsonLines.js";

describe.skipIf(!hasShared)("the reference's tokenizer", async () => {
  const tokenizer = await loadClipTokenizer();
  const openClip = createTokenizer({
    merges: tokenizer.merges,
    startToken: "<start_of_text>",
    endToken: "<end_of_text>",
  });
  const huggingFace = createTokenizer({ merges: tokenizer.merges, clean: "huggingface" });

  test("gives the same ids for every text", () => {
    const cases = readJsonLines<{ text: string; ids: number[]; ids_open_clip?: number[] }>("cases");
    for (const { text, ids, ids_open_clip } of cases) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(openClip.encode(text), JSON.stringify(text)).toEqual(ids_open_clip ?? ids);
    }
  });

  test("cuts and pads, or refuses, texts of any length as the reference does", () => {
    const lines = readJsonLines<{
      text: string;
      context_length: number;
      openai_truncate: number[];
      openai_error: string | null;
      open_clip: number[];
    }>("context");
    for (const { text, context_length: contextLength, openai_truncate, openai_error, open_clip } of lines) {
      const options = { contextLength, padTo: "context" } as const;
      const cut = tokenize(tokenizer, [text], { ...options, truncate: true });
      expect(cut.shape).toEqual([1, contextLength]);
      expect([...cut.data]).toEqual(openai_truncate);
      expect([...tokenize(openClip, [text], { ...options, truncate: true }).data]).toEqual(open_clip);
      if (openai_error === null) expect(tokenize(tokenizer, [text], options)).toEqual(cut);
      else expect(() => tokenize(tokenizer, [text], options)).toThrow("TextTooLong");
    }
  });

  test.each([
    ["models/vit/texts.json", "models/vit/inputs", "tokens_full_vocab", 49408],
    ["models/vit-gelu/texts.json", "models/vit-gelu/inputs", "tokens_full_vocab", 49408],
    ["models/vit/texts.json", "models/vit/inputs", "tokens", 512],
    ["train/captions.json", "train/batches", "tokens", 512],
  ])("gives the ids of %s that %s holds as %s, of %i", async (texts, inputs, name, vocabulary) => {
    const captions: string[] = JSON.parse(readFileSync(shared(`goldens/${texts}`), "utf8"));
    const { data } = tokenize(tokenizer, captions, { contextLength: 77, padTo: "context", truncate: true });
    // A small model's ids are folded: the markers stay the last two, and padding 0 (`common.fold_ids` in the README).
    const folded = (id: number) => {
      if (id === 0 || vocabulary === 49408) return id;
      return id >= 49406 ? vocabulary - 49408 + id : (id % (vocabulary - 3)) + 1;
    };
    const expected = (await golden(inputs)).get(name)!;
    expect(expected.shape).toEqual([captions.length, 77]);
    expect(Array.from(data, folded)).toEqual([...expected.data]);
  });

  test("decodes ids to the same text", () => {
    const lines = readJsonLines<{ ids: number[]; text: string }>("decode");
    for (const { ids, text } of lines) expect(tokenizer.decode(ids)).toBe(text);
  });

  test("gives transformers' ids, which lack repair, where that is asked for", () => {
    const differs = readJsonLines<{ text: string; ids_openai: number[]; ids_hf: number[] }>("hf_differs");
    for (const { text, ids_openai, ids_hf } of differs) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids_openai);
      expect(huggingFace.encode(text), JSON.stringify(text)).toEqual(ids_hf);
    }
  });

  test("gives transformers' marked ids, which are padded with the end token there and with zeros here", () => {
    const lines = readJsonLines<{ text: string; input_ids: number[]; attention_mask: number[] }>("hf_padded");
    for (const { text, input_ids, attention_mask } of lines) {
      const contextLength = input_ids.length;
      const { data } = tokenize(huggingFace, [text], { contextLength, padTo: "context", truncate: true });
      const read = (ids: ArrayLike<number>) => Array.from(ids).filter((_, i) => attention_mask[i] === 1);
      expect(read(data), JSON.stringify(text)).toEqual(read(input_ids));
      const behind = input_ids.filter((_, i) => attention_mask[i] === 0);
      expect(new Set(behind)).toEqual(new Set(behind.length > 0 ? [huggingFace.endId] : []));
    }
  });

  test("is the one that vocab.json and merges.txt describe", () => {
    const read = (name: string) => readFileSync(shared(`goldens/models/vit-full.hf/${name}`), "utf8");
    const fromFiles = readTokenizerFiles({ vocabulary: read("vocab.json"), merges: read("merges.txt") });
    expect(fromFiles.merges).toEqual(tokenizer.merges);
    expect(fromFiles.vocabulary).toEqual(tokenizer.vocabulary);
  });
});
