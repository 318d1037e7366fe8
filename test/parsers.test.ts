/**
 * @file Every parser of files that strangers write, on random bytes and on damaged real files: each gives a value or a
 * DiptychError, never another error, in bounded time and memory. What is written only (npy, ONNX, SVG) is not read at all.
 */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromPreprocessor, toPreprocessor } from "../src/checkpoint/imageProcessor.js";
import { memorySource, parseSafetensors, readTensor, safetensorsBytes } from "../src/checkpoint/index.js";
import { parseJson } from "../src/checkpoint/json.js";
import { loadCheckpoint, loadTraining, readSafetensors, saveCheckpoint } from "../src/checkpoint/node.js";
import { parseTorch } from "../src/checkpoint/torch.js";
import { parseZip } from "../src/checkpoint/zip.js";
import { readCaptions } from "../src/data/captions.js";
import { readClasses } from "../src/data/classes.js";
import { parseTable } from "../src/data/table.js";
import { tarMembers } from "../src/data/tar.js";
import { DiptychError } from "../src/errors.js";
import { openaiPreprocess } from "../src/image/index.js";
import { decodePicture } from "../src/image/node.js";
import { idxPictures } from "../src/tasks/index.js";
import {
  createTokenizer,
  formatMerges,
  formatVocabulary,
  parseMerges,
  readTokenizerFiles,
  readTokenizerJson,
} from "../src/tokenizer/index.js";
import { parseRecipe } from "../src/train/recipe.js";
import { archive, dictionary, legacy, tensor, text, zip } from "./checkpoint/torchFiles.js";
import { tarOf } from "./data/tarOf.js";
import { tinyCheckpoint } from "./tasks/tiny.js";
import { unigram, wordPieces } from "./tokenizer/jsonFiles.js";

const encode = (value: string): Uint8Array => new TextEncoder().encode(value);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const json = (value: unknown): Uint8Array => encode(JSON.stringify(value));
const collect = async (items: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of items);
};

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-parsers-"));
});
afterAll(() => rm(folder, { recursive: true }));

interface Parser {
  readonly read: (bytes: Uint8Array) => unknown;
  /** Real files, which are then damaged. */
  readonly real: () => Promise<readonly Uint8Array[]> | readonly Uint8Array[];
  readonly runs?: number;
}

const weights = { name: "w", shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) };
const state = dictionary(text("w"), tensor({ shape: [2, 3], strides: [3, 1] }));
const tiny = tinyCheckpoint();
const small = createTokenizer({ merges: [["a", "b</w>"]] });
const idx = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4);
const idxLabels = Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 1, 0);
const drawing = sharp({ create: { width: 9, height: 7, channels: 3, background: "#38c" } });
const formats = ["png", "jpeg", "gif", "webp", "tiff", "avif"] as const;

const parsers: Readonly<Record<string, Parser>> = {
  safetensors: {
    read: async (bytes) => Promise.all((await parseSafetensors(memorySource("x", bytes))).tensors.map(readTensor)),
    real: () => [
      new Uint8Array(Buffer.concat([...safetensorsBytes([weights])].map((piece) => Uint8Array.from(piece)))),
    ],
  },
  zip: { read: (bytes) => parseZip(memorySource("x", bytes)), real: () => [zip({ a: encode("a"), b: encode("bb") })] },
  "torch files (zip, pickle, the old format)": {
    read: async (bytes) => Promise.all((await parseTorch(memorySource("x", bytes))).tensors.map(readTensor)),
    real: () => [archive(state), legacy(state)],
  },
  tar: {
    read: (bytes) => {
      const read = async (offset: number, length: number) => bytes.subarray(offset, offset + length);
      return collect(tarMembers({ size: bytes.length, read }, "x"));
    },
    real: () => [
      tarOf([
        { name: "a.txt", content: "a" },
        { name: "b".repeat(200), content: "b", form: "pax" },
      ]),
    ],
  },
  pictures: {
    read: (bytes) => decodePicture(bytes),
    real: () => Promise.all(formats.map((format) => drawing.clone().toFormat(format).toBuffer())),
    runs: 60,
  },
  "idx pictures": { read: (bytes) => idxPictures(bytes, idxLabels, ["a"]), real: () => [idx] },
  "idx labels": { read: (bytes) => idxPictures(idx, bytes, ["a"]), real: () => [idxLabels] },
  "CSV and TSV": { read: (bytes) => parseTable(decode(bytes), "x.csv"), real: () => [encode('a,b\n1,"2\n3"\n')] },
  "JSON lines": { read: (bytes) => parseTable(decode(bytes), "x.jsonl"), real: () => [encode('{"a": ["b"]}\n{}\n')] },
  "captions of a sample": {
    read: (bytes) => [readCaptions(bytes, "json", "x"), readCaptions(bytes, "txt", "x")],
    real: () => [json({ captions: ["a", "b"] })],
  },
  "names of classes": {
    read: async (bytes) => {
      const file = path.join(folder, "classes.json");
      await writeFile(file, bytes);
      return readClasses(file, folder);
    },
    real: () => [json({ n01: "cat, kitten", n02: ["dog"] }), json(["cat"])],
  },
  "merges.txt": { read: (bytes) => parseMerges(decode(bytes)), real: () => [encode(formatMerges(small.merges))] },
  "vocab.json": {
    read: (bytes) => readTokenizerFiles({ vocabulary: decode(bytes), merges: formatMerges(small.merges) }),
    real: () => [encode(formatVocabulary(small))],
    runs: 60,
  },
  "tokenizer.json": {
    read: (bytes) => readTokenizerJson({ "tokenizer.json": decode(bytes), "tokenizer_config.json": "{}" }),
    real: () => [encode(unigram["tokenizer.json"]), encode(wordPieces["tokenizer.json"])],
    runs: 60,
  },
  "preprocessor_config.json": {
    read: (bytes) => fromPreprocessor(parseJson(decode(bytes), "x"), 32, "x"),
    real: () => [json(toPreprocessor(openaiPreprocess(32), false)), json(toPreprocessor(openaiPreprocess(32), true))],
  },
  "a recipe": {
    read: (bytes) => parseRecipe(parseJson(decode(bytes), "x")),
    real: async () => [await readFile(path.resolve(import.meta.dirname, "../recipes/mini.json"))],
  },
};

/** Bytes changed, lost, repeated or put in, at a few places. */
const damaged = (real: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> =>
  fc.constantFrom(...real).chain((bytes) => {
    const place = fc.nat(Math.max(0, bytes.length - 1));
    const edit = fc.tuple(place, fc.nat(8), fc.uint8Array({ maxLength: 4 }));
    return fc.tuple(fc.array(edit, { minLength: 1, maxLength: 3 }), fc.option(place)).map(([edits, end]) => {
      const list = edits.reduce<number[]>((all, [at, lost, put]) => {
        all.splice(at, lost, ...put);
        return all;
      }, Array.from(bytes));
      return Uint8Array.from(end === null ? list : list.slice(0, end));
    });
  });

/** What a value of a config may be replaced by. */
const hostile = [
  null,
  true,
  -1,
  0,
  0.5,
  1e308,
  2 ** 53,
  "",
  "x".repeat(99),
  "__proto__",
  [],
  [[]],
  {},
  { __proto__: 1 },
];

/** The JSON text with the value at one place replaced. */
const reset = (real: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> =>
  fc.tuple(fc.constantFrom(...real), fc.nat(), fc.constantFrom(...hostile)).map(([bytes, which, value]) => {
    let places = 0;
    JSON.parse(decode(bytes), () => void places++);
    let place = 0;
    return json(JSON.parse(decode(bytes), (_, old) => (place++ === which % places ? value : old)));
  });

async function survives(read: Parser["read"], bytes: Uint8Array): Promise<void> {
  try {
    await read(bytes);
  } catch (error) {
    if (!(error instanceof DiptychError)) throw error;
  }
}

const isJson = (bytes: Uint8Array): boolean => {
  try {
    JSON.parse(decode(bytes));
    return true;
  } catch {
    return false;
  }
};

describe.each(Object.entries(parsers))("%s", (_, { read, real, runs = 200 }) => {
  test("gives a value or a DiptychError for random and for damaged bytes", async () => {
    const files = await real();
    for (const file of files) await read(file); // a real one is read
    const before = process.memoryUsage().rss;
    const kinds = [fc.uint8Array({ maxLength: 200 }), damaged(files), ...(files.every(isJson) ? [reset(files)] : [])];
    await fc.assert(
      fc.asyncProperty(fc.oneof(...kinds), (bytes) => survives(read, bytes)),
      { numRuns: runs },
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(300e6);
  });
});

describe("a folder with one damaged file", () => {
  /** Damages one file after the other; the others stay as they are. */
  async function damageEach(place: string, names: readonly string[], read: () => Promise<unknown>): Promise<void> {
    await read();
    for (const name of names) {
      const file = path.join(place, name);
      const real = await readFile(file);
      await fc.assert(
        fc.asyncProperty(fc.oneof(reset([real]), damaged([real])), async (bytes) => {
          await writeFile(file, bytes);
          await survives(read, bytes);
        }),
        { numRuns: 15 },
      );
      await writeFile(file, real);
    }
  }

  test.each([
    ["diptych", ["config.json"]],
    ["huggingFace", ["config.json", "preprocessor_config.json", "tokenizer_config.json", "tokenizer.json"]],
    ["openClip", ["open_clip_config.json"]],
  ] as const)("%s: is read or refused", async (format, names) => {
    const place = path.join(folder, format);
    await saveCheckpoint(place, tiny, { format });
    await damageEach(place, names, () => loadCheckpoint(place));
  });

  test("the index of shards: is read or refused", async () => {
    const place = path.join(folder, "sharded");
    await saveCheckpoint(place, { ...tiny, tokenizer: null }, { format: "huggingFace" });
    const { tensors } = await readSafetensors(path.join(place, "model.safetensors"));
    await rename(path.join(place, "model.safetensors"), path.join(place, "model-1.safetensors"));
    const index = { weight_map: Object.fromEntries(tensors.map(({ name }) => [name, "model-1.safetensors"])) };
    await writeFile(path.join(place, "model.safetensors.index.json"), JSON.stringify(index));
    await damageEach(place, ["model.safetensors.index.json"], () => loadCheckpoint(place));
    await mkdir(path.join(place, "shard"));
    for (const name of ["", ".", "..", "shard", "/etc/passwd"]) {
      await writeFile(path.join(place, "model.safetensors.index.json"), JSON.stringify({ weight_map: { a: name } }));
      await expect(loadCheckpoint(place)).rejects.toThrow(DiptychError);
    }
  });

  test("the state of training: is read or refused", async () => {
    const place = path.join(folder, "training");
    await saveCheckpoint(place, tiny, { training: { tensors: [weights], state: { step: 3 } } });
    await damageEach(place, ["training.json"], () => loadTraining(place));
  });
});

describe("JSON as deep or as long as nobody writes it", () => {
  test.each([
    ["a hundred thousand lists within each other", "[".repeat(1e5) + "]".repeat(1e5)],
    ["objects within each other", `${'{"a":'.repeat(1e5)}1${"}".repeat(1e5)}`],
    ["one string of twenty million letters", `{"a":"${"x".repeat(2e7)}"}`],
    [
      "a hundred thousand names",
      JSON.stringify(Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => [`n${i}`, i]))),
    ],
  ])("%s", async (_, content) => {
    await survives(() => parseJson(content, "x"), new Uint8Array());
    await survives(() => fromPreprocessor(parseJson(content, "x"), 32, "x"), new Uint8Array());
  });
});
