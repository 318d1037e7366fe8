import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadCheckpoint, saveCheckpoint } from "../../src/checkpoint/node.js";
import { inputSides } from "../../src/clip/index.js";
import { openaiPreprocess } from "../../src/image/index.js";
import { decodePicture } from "../../src/image/node.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import {
  type Clip,
  classify,
  createClip,
  normaliseRows,
  row,
  similarityMatrix,
  zeroShotClassifier,
} from "../../src/tasks/index.js";
import { loadClip } from "../../src/tasks/node.js";
import { tokenize } from "../../src/tokenizer/index.js";
import { hasShared, shared } from "../goldens.js";
import { largestDifference, readJson, readTensors, transposed } from "./tensors.js";
import { tinyCheckpoint } from "./tiny.js";

describe("a clip from a folder", () => {
  let folder: string;
  let clip: Clip;
  let pictures: string[];

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "diptych-"));
    await saveCheckpoint(path.join(folder, "model"), tinyCheckpoint());
    clip = await loadClip(path.join(folder, "model"));
    pictures = await Promise.all(
      Array.from({ length: 37 }, async (_, i) => {
        const file = path.join(folder, `${i}.png`);
        const background = { r: (i * 71) % 256, g: (i * 37) % 256, b: (i * 97) % 256 };
        await sharp({ create: { width: 20 + i, height: 50 - i, channels: 3, background } })
          .png()
          .toFile(file);
        return file;
      }),
    );
  });
  afterAll(async () => {
    await clip.dispose();
    await rm(folder, { recursive: true });
  });

  test("embeds any number of pictures, in order, from paths and bytes alike", async () => {
    const all = await clip.embedImages(pictures);
    expect(all.shape).toEqual([37, 32]);
    for (const i of [0, 15, 16, 36]) {
      const alone = await clip.embedImages([new Uint8Array(await readFile(pictures[i]!))]);
      expect(largestDifference(alone.data, row(all, i))).toBeLessThan(1e-5);
      expect(Math.hypot(...alone.data)).toBeCloseTo(1, 5);
    }
    expect((await clip.embedImages([])).shape).toEqual([0, 32]);
  });

  test("a decoded picture needs no file", async () => {
    const data = await sharp(pictures[3]!).raw().toBuffer();
    const decoded = { mode: "RGB", width: 23, height: 47, data: new Uint8Array(data) } as const;
    const [a, b] = [await clip.embedImages([decoded]), await clip.embedImages([pictures[3]!])];
    expect(largestDifference(a.data, b.data)).toBe(0);
  });

  test("embedImages is preprocess, encodeImage and normalisation", async () => {
    const pixels = await clip.preprocess(pictures[5]!);
    expect(pixels.shape).toEqual([1, 3, 32, 32]);
    const features = normaliseRows(await clip.encodeImage(pixels));
    expect(largestDifference(features.data, (await clip.embedImages([pictures[5]!])).data)).toBeLessThan(1e-6);
  });

  test("texts bucketed by length equal texts padded to the context, in the order given", async () => {
    const words = ["cat", "dog", "a photo of a cat", "snow", "two dogs playing in the snow", "", "a red car"];
    const texts = Array.from({ length: 300 }, (_, i) => words[i % words.length]!);
    const bucketed = await clip.embedTexts(texts);
    const { contextLength } = clip.config.text;
    const padded = normaliseRows(
      await clip.encodeText(tokenize(clip.tokenizer, texts, { contextLength, padTo: "context" })),
    );
    expect(bucketed.shape).toEqual([300, 32]);
    expect(largestDifference(bucketed.data, padded.data)).toBeLessThan(1e-5);
    expect((await clip.embedTexts([])).shape).toEqual([0, 32]);
  });

  test("one unreadable picture among many is an error that names it, or is skipped", async () => {
    const broken = path.join(folder, "broken.jpg");
    await writeFile(broken, "no picture");
    const mixed = [...pictures.slice(0, 20), broken, ...pictures.slice(20)];
    await expect(clip.embedImages(mixed)).rejects.toMatchObject({
      code: "UnreadablePicture",
      problem: expect.stringMatching(/^Picture 20: .*broken\.jpg/),
    });
    const skipped: number[] = [];
    const embeddings = await clip.embedImages(mixed, { onUnreadable: (_, index) => skipped.push(index) });
    expect(skipped).toEqual([20]);
    expect(Math.hypot(...row(embeddings, 20))).toBe(0);
    const without = await clip.embedImages(pictures);
    expect(largestDifference(row(embeddings, 21), row(without, 20))).toBeLessThan(1e-5);
  });

  test("a text beyond the context is an error with its token count, or is cut", async () => {
    const long = "snow ".repeat(50);
    await expect(clip.embedTexts(["cat", long])).rejects.toMatchObject({
      code: "TextTooLong",
      problem: expect.stringMatching(/Text 1 .* has \d+ tokens and this model reads 32/),
    });
    const [cut, shorter] = await Promise.all([
      clip.embedTexts([long], { truncate: true }),
      clip.embedTexts(["snow ".repeat(60)], { truncate: true }),
    ]);
    expect(largestDifference(cut.data, shorter.data)).toBe(0);
  });

  test.each([
    ["WrongShape", () => clip.encodeImage({ data: new Float32Array(12), shape: [1, 3, 2, 2] })],
    ["WrongShape", () => clip.encodeImage({ data: new Float32Array(5), shape: [1, 3, 32, 32] })],
    ["WrongShape", () => clip.encodeText({ data: new Int32Array(33), shape: [1, 33] })],
    ["UnknownTokenId", () => clip.encodeText({ data: Int32Array.of(1, 2, 100_000), shape: [1, 3] })],
  ])("input that does not fit the model: %s", async (code, run) => {
    await expect(run()).rejects.toMatchObject({ code });
  });

  test("zero-shot probabilities sum to one", async () => {
    const classifier = await zeroShotClassifier(clip, ["cat", "dog", "car"], ["a photo of a {}", "{}"]);
    const probabilities = classify(clip, await clip.embedImages(pictures.slice(0, 3)), classifier);
    for (let i = 0; i < 3; i++) expect(row(probabilities, i).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
    expect(clip.logitScale).toBeCloseTo(20, 4);
  });
});

describe("createClip", () => {
  test("compiles a tower when it is first used", async () => {
    const runtime = nodeRuntime();
    const compiled: string[] = [];
    const clip = createClip(tinyCheckpoint(), {
      ...runtime,
      compile: (outputs, options) => {
        compiled.push(...Object.keys(outputs));
        return runtime.compile(outputs, options);
      },
    });
    expect(compiled).toEqual([]);
    await Promise.all([clip.embedTexts(["cat"]), clip.embedTexts(["dog"])]);
    expect(compiled).toEqual(["text_features"]);
    await clip.dispose();
    await expect(clip.embedTexts(["cat"])).rejects.toMatchObject({ code: "Disposed" });
  });

  test("says what is missing", async () => {
    const clip = createClip({ ...tinyCheckpoint(), tokenizer: null }, nodeRuntime());
    await expect(clip.embedTexts(["cat"])).rejects.toMatchObject({ code: "NoTokenizer" });
    await expect(clip.embedImages(["cat.jpg"])).rejects.toMatchObject({ code: "NoDecoder" });
    await clip.dispose();
  });
});

describe.skipIf(!hasShared)("against the references", () => {
  test.each(["vit", "vit-gelu"])("%s: features and similarity within 1e-4", async (name) => {
    const clip = await loadClip(shared(`goldens/models/${name}/${name}.openclip.safetensors`));
    const inputs = await readTensors(`goldens/models/${name}/inputs.safetensors`);
    const outputs = await readTensors(`goldens/models/${name}/outputs.safetensors`);
    const pixels = inputs.get("images")!;
    const tokens = inputs.get("tokens")!;
    const sides = inputSides(clip.config);
    const count = pixels.data.length / (3 * sides[0] * sides[1]);
    const images = await clip.encodeImage({ data: pixels.data, shape: [count, 3, ...sides] });
    const texts = await clip.encodeText({ data: Int32Array.from(tokens.data), shape: tokens.shape });
    expect(largestDifference(images.data, outputs.get("image_features")!.data)).toBeLessThan(1e-4);
    expect(largestDifference(texts.data, outputs.get("text_features")!.data)).toBeLessThan(1e-4);
    const logits = similarityMatrix(normaliseRows(images), normaliseRows(texts)).data.map((v) => v * clip.logitScale);
    expect(largestDifference(logits, outputs.get("logits_per_image")!.data)).toBeLessThan(1e-4);
    await clip.dispose();
  });

  test("zero-shot classification from picture files to probabilities equals open_clip's", async () => {
    const checkpoint = await loadCheckpoint(shared("goldens/models/vit-full.hf"));
    // The folder asks for transformers' crops; the goldens were made with open_clip's.
    const preprocess = openaiPreprocess(checkpoint.config.image.imageSize);
    const clip = createClip({ ...checkpoint, preprocess }, nodeRuntime());
    const { classes, templates } = await readJson<{ classes: string[]; templates: string[] }>(
      "goldens/zero-shot/classes.json",
    );
    const { pictures, texts } = await readJson<{ pictures: string[]; texts: string[] }>(
      "goldens/zero-shot/end_to_end.json",
    );
    const expected = await readTensors("goldens/zero-shot/end_to_end.safetensors");
    const decoded = pictures.map((name) => decodePicture(shared(path.join("goldens/zero-shot", name))));
    const images = await clip.embedImages(await Promise.all(decoded));
    const classifier = await zeroShotClassifier(clip, classes, templates);
    const embeddedTexts = await clip.embedTexts(texts, { truncate: true });
    expect(largestDifference(images.data, expected.get("image_features_norm")!.data)).toBeLessThan(1e-3); // JPEG decoders differ by a level
    expect(largestDifference(embeddedTexts.data, expected.get("text_features_norm")!.data)).toBeLessThan(1e-4);
    expect(largestDifference(transposed(classifier).data, expected.get("classifier")!.data)).toBeLessThan(1e-4);
    expect(largestDifference(classify(clip, images, classifier).data, expected.get("class_probs")!.data)).toBeLessThan(
      1e-3,
    );
    await clip.dispose();
  });
});
