import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { DiptychError } from "../../src/errors.js";
import type { Picture } from "../../src/image/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import {
  classificationMetrics,
  createClip,
  evaluateRetrieval,
  evaluateZeroShot,
  idxPictures,
  retrievalMetrics,
  similarityMatrix,
  zeroShotClassifier,
} from "../../src/tasks/index.js";
import { tinyCheckpoint } from "./tiny.js";

const clip = createClip(tinyCheckpoint(), nodeRuntime());
afterAll(() => clip.dispose());

const grey = (level: number): Picture => ({ mode: "L", width: 8, height: 8, data: new Uint8Array(64).fill(level) });
const unusable = new DiptychError("UnreadablePicture", "It is cut short.", "Fetch it again.");

describe("evaluateZeroShot", () => {
  test("is embedding, classifying and counting; what a source cannot read does not count", async () => {
    const labels = [0, 1, 2, 1, 0, 2, 2];
    const pictures = labels.map((_, i) => grey(i * 40));
    const progress: number[] = [];
    const result = await evaluateZeroShot(
      clip,
      {
        length: 8,
        classes: ["cat", "dog", "car"].map((name) => ({ names: [name, "never asked"] })),
        read: async (i) => {
          if (i === 7) throw unusable;
          return { image: pictures[i]!, label: labels[i]! };
        },
      },
      { templates: ["a {}"], onProgress: (done) => progress.push(done) },
    );
    const classifier = await zeroShotClassifier(clip, ["cat", "dog", "car"], ["a {}"]);
    const expected = classificationMetrics(similarityMatrix(await clip.embedImages(pictures), classifier), labels);
    expect(result).toMatchObject({ pictures: 7, unreadable: 1, top1: expected.top1, top5: 1 });
    expect(result.classes.map(({ recall }) => recall)).toEqual(expected.perClassRecall);
    expect(progress.at(-1)).toBe(7);
  });

  test("refuses pictures without class, and a source without any readable picture", async () => {
    const source = { length: 1, classes: [{ names: ["cat"] }], read: async () => ({ image: grey(0) }) };
    await expect(evaluateZeroShot(clip, source)).rejects.toMatchObject({ code: "NoLabels" });
    const empty = { ...source, read: () => Promise.reject(unusable) };
    await expect(evaluateZeroShot(clip, empty)).rejects.toMatchObject({ code: "NoPictures" });
  });
});

describe("evaluateRetrieval", () => {
  test("counts every caption, or the first ones only", async () => {
    const captions = [["a cat", "cat"], ["a dog"], ["a red car", "car", "red"]];
    const source = { length: 3, read: async (i: number) => ({ image: grey(i * 100), captions: captions[i]! }) };
    const images = await clip.embedImages([grey(0), grey(100), grey(200)]);
    const all = await evaluateRetrieval(clip, source);
    expect(all).toEqual({
      pictures: 3,
      texts: 6,
      unreadable: 0,
      ...retrievalMetrics(images, await clip.embedTexts(captions.flat()), [0, 0, 1, 2, 2, 2]),
    });
    expect((await evaluateRetrieval(clip, source, { captionsPerPicture: 1 })).texts).toBe(3);
  });
});

describe("idx files", () => {
  const bigEndian = (...sizes: number[]): number[] =>
    sizes.flatMap((n) => [n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255]);
  const idx = (sizes: number[], data: number[]): Uint8Array =>
    Uint8Array.from([0, 0, 8, sizes.length, ...bigEndian(...sizes), ...data]);

  test("give grey pictures and labels", async () => {
    const pictures = idxPictures(idx([2, 1, 2], [1, 2, 3, 4]), idx([2], [1, 0]), ["zero", "one"]);
    expect(pictures.length).toBe(2);
    expect(await pictures.read(1)).toEqual({
      image: { mode: "L", width: 2, height: 1, data: Uint8Array.of(3, 4) },
      label: 0,
    });
  });

  test.each([
    ["BadIdx", idx([3, 1, 2], [1, 2, 3, 4, 5]), idx([3], [0, 1, 0])],
    ["BadIdx", idx([2, 1, 2], [1, 2, 3, 4]), idx([1], [0])],
    ["BadIdx", idx([4], [1, 2, 3, 4]), idx([4], [0, 1, 0, 1])],
    ["TooFewClasses", idx([1, 1, 1], [1]), idx([1], [2])],
  ])("that do not fit are refused: %s", (code, images, labels) => {
    expect(() => idxPictures(images, labels, ["zero", "one"])).toThrow(expect.objectContaining({ code }));
  });

  test("of random bytes are refused, nothing worse", () => {
    const bytes = fc.uint8Array({ maxLength: 40 }).map((tail) => Uint8Array.from([0, 0, 8, ...tail]));
    fc.assert(
      fc.property(bytes, bytes, (images, labels) => {
        try {
          idxPictures(images, labels, []);
        } catch (error) {
          expect(error).toBeInstanceOf(DiptychError);
        }
      }),
    );
  });
});
