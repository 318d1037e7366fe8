import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  classificationMetrics,
  classify,
  type Matrix,
  normaliseRows,
  retrievalMetrics,
  row,
  search,
  similarityMatrix,
  softmaxRows,
  zeroShotClassifier,
} from "../../src/tasks/index.js";
import { hasShared } from "../goldens.js";
import { largestDifference, normalised, readJson, readTensors, transposed } from "./tensors.js";

const matrix = (rows: readonly (readonly number[])[]): Matrix => ({
  data: Float32Array.from(rows.flat()),
  shape: [rows.length, rows[0]?.length ?? 0],
});

const rows = fc
  .tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 9 }))
  .chain(([n, d]) =>
    fc.array(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: d, maxLength: d }), { minLength: n, maxLength: n }),
  )
  .map(matrix);

describe("rows", () => {
  test("a normalised row has length one and its own direction; zeros stay zeros", () => {
    fc.assert(
      fc.property(rows, (m) => {
        const unit = normaliseRows(m);
        for (let i = 0; i < m.shape[0]; i++) {
          const norm = Math.hypot(...row(m, i));
          expect(Math.hypot(...row(unit, i))).toBeCloseTo(norm === 0 ? 0 : 1, 5);
          expect(
            largestDifference(
              row(m, i),
              row(unit, i).map((v) => v * norm),
            ),
          ).toBeLessThan(1e-5);
        }
      }),
    );
  });

  test("a model with a logit bias judges each pair alone: the logistic function of its logit", () => {
    const pictures = normaliseRows(
      matrix([
        [1, 0],
        [3, 4],
      ]),
    );
    const classifier = normaliseRows(
      matrix([
        [1, 0],
        [0, 1],
      ]),
    );
    const given = classify({ logitScale: 10, logitBias: -5 }, pictures, classifier);
    const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
    const expected = [sigmoid(5), sigmoid(-5), sigmoid(1), sigmoid(3)];
    expect(largestDifference(given.data, expected)).toBeLessThan(1e-6);
  });

  test("softmax gives probabilities, also of scores that would overflow", () => {
    const p = softmaxRows(
      matrix([
        [1000, 999],
        [0, 0],
      ]),
      1,
    );
    expect([...p.data]).toEqual([Math.fround(1 / (1 + Math.exp(-1))), Math.fround(1 / (1 + Math.E)), 0.5, 0.5]);
  });

  test("embeddings of different sizes are refused", () => {
    expect(() => similarityMatrix(matrix([[1, 2]]), matrix([[1]]))).toThrow(/2 and of 1/);
    expect(() => search(Float32Array.of(1), matrix([[1, 2]]), 1)).toThrow(/query of 1/);
  });
});

describe("search", () => {
  test("gives what sorting all scores gives, ties by index", () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 0, max: 15 }), (m, k) => {
        const query = row(m, 0);
        const scores = [...similarityMatrix(matrix([[...query]]), m).data];
        const found = search(query, m, k);
        const expected = scores.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b);
        expect(found.map(({ index }) => index)).toEqual(expected.slice(0, k));
        for (const { index, score } of found) expect(score).toBeCloseTo(scores[index]!, 3);
      }),
    );
  });
});

describe("metrics", () => {
  test("count by hand: two of three right, and a class without pictures does not count", () => {
    const scores = matrix([
      [3, 1, 0],
      [0, 2, 1],
      [5, 1, 4],
    ]);
    const { top1, top5, meanPerClassRecall, perClassRecall } = classificationMetrics(scores, [0, 1, 1]);
    expect({ top1, top5, meanPerClassRecall }).toEqual({ top1: 2 / 3, top5: 1, meanPerClassRecall: 0.75 });
    expect(perClassRecall).toEqual([1, 0.5, null]);
  });

  test("of equal scores only the first is the highest", () => {
    expect(
      classificationMetrics(
        matrix([
          [1, 1],
          [1, 1],
        ]),
        [0, 1],
      ).top1,
    ).toBe(0.5);
  });

  test("retrieval of a picture by any of its texts counts, and by each text apart", () => {
    const images = matrix([
      [1, 0],
      [0, 1],
    ]);
    const texts = matrix([
      [1, 0.1],
      [0.1, 0.9],
      [0, 1],
    ]); // the second belongs to picture 0 and points to picture 1
    const { textToImage, imageToText } = retrievalMetrics(images, texts, [0, 0, 1]);
    expect(textToImage["recall@1"]).toBe(2 / 3);
    expect(imageToText).toEqual({ "recall@1": 1, "recall@5": 1, "recall@10": 1 });
  });
});

describe("zeroShotClassifier", () => {
  const clip = {
    embedTexts: async (texts: readonly string[]) => normaliseRows(matrix(texts.map((t) => [t.length, 1]))),
  };

  test("is the normalised mean of the normalised templates", async () => {
    const [a, b] = [
      [1, 1],
      [9, 1],
    ].map(([x, y]) => [x! / Math.hypot(x!, y!), y! / Math.hypot(x!, y!)]);
    const mean = [a![0]! + b![0]!, a![1]! + b![1]!];
    const classifier = await zeroShotClassifier(clip, ["x"], ["{}", "a {} or {}."]);
    expect(
      largestDifference(
        classifier.data,
        mean.map((v) => v / Math.hypot(...mean)),
      ),
    ).toBeLessThan(1e-3);
  });

  test("class names go in as they are, whatever they hold", async () => {
    let asked: readonly string[] = [];
    const spy = {
      embedTexts: (texts: readonly string[]) => {
        asked = texts;
        return clip.embedTexts(texts);
      },
    };
    await zeroShotClassifier(spy, ["$& dollars", "crêpe"], ["a {}, {}"]);
    expect(asked).toEqual(["a $& dollars, $& dollars", "a crêpe, crêpe"]);
  });

  test.each([
    ["NoClasses", [], ["{}"]],
    ["NoTemplates", ["a"], []],
    ["BadTemplate", ["a"], ["a photo of a"]],
  ])("%s", async (code, classes, templates) => {
    await expect(zeroShotClassifier(clip, classes, templates)).rejects.toMatchObject({ code });
  });
});

describe.skipIf(!hasShared)("against the references", () => {
  test("zero-shot metrics equal CLIP_benchmark's", async () => {
    const tensors = await readTensors("goldens/zero-shot/embeddings.safetensors");
    const { classification, retrieval } = await readJson<{
      classification: { acc1: number; acc5: number; mean_per_class_recall: number };
      retrieval: Record<string, number>;
    }>("goldens/zero-shot/metrics.json");
    const scores = similarityMatrix(tensors.get("class_embeddings")!, transposed(tensors.get("classifier")!));
    const counted = classificationMetrics(scores, tensors.get("class_labels")!.data);
    expect(counted.top1).toBeCloseTo(classification.acc1, 9);
    expect(counted.top5).toBeCloseTo(classification.acc5, 9);
    expect(counted.meanPerClassRecall).toBeCloseTo(classification.mean_per_class_recall, 9);

    const { textToImage, imageToText } = retrievalMetrics(
      tensors.get("retrieval_images")!,
      tensors.get("retrieval_texts")!,
      tensors.get("retrieval_text_owner")!.data,
    );
    for (const k of [1, 5, 10] as const) {
      expect(textToImage[`recall@${k}`]).toBeCloseTo(retrieval[`image_retrieval_recall@${k}`]!, 6);
      expect(imageToText[`recall@${k}`]).toBeCloseTo(retrieval[`text_retrieval_recall@${k}`]!, 6);
    }
  });

  test("the classifier of given template embeddings equals open_clip's", async () => {
    const { classes, templates } = await readJson<{ classes: string[]; templates: string[] }>(
      "goldens/zero-shot/classes.json",
    );
    const tensors = await readTensors("goldens/zero-shot/end_to_end.safetensors");
    const stored = tensors.get("template_text_features_norm")!;
    const texts = classes.flatMap((name) => templates.map((template) => template.replace("{}", name)));
    const clip = {
      embedTexts: async (asked: readonly string[]) => {
        expect(asked).toEqual(texts);
        return stored;
      },
    };
    const classifier = await zeroShotClassifier(clip, classes, templates);
    expect(largestDifference(transposed(classifier).data, tensors.get("classifier")!.data)).toBeLessThan(1e-6);
  });

  test("ViT-B/32 finds Flickr8k's captions and pictures as often as it must", async () => {
    const tensors = await readTensors("oracles/flickr100.safetensors");
    const [images, texts] = [tensors.get("images")!, tensors.get("texts")!];
    const imageOfText = tensors.get("image_of_text")!.data;
    const { textToImage, imageToText } = retrievalMetrics(images, texts, imageOfText);
    const round = (recall: object): number[] => Object.values(recall).map((share) => Math.round(share * 1000) / 1000);
    expect(round(textToImage)).toEqual([0.832, 0.99, 0.998]);
    expect(round(imageToText)).toEqual([0.93, 1, 1]);
    const cosines = similarityMatrix(texts, images);
    const own = Array.from(imageOfText, (i, j) => row(cosines, j)[i]!);
    expect(own.reduce((a, b) => a + b, 0) / own.length).toBeCloseTo(0.32528, 5);
  });

  test("the five nearest of 1,203 names to 175 pictures are ViT-B/32's, in order", async () => {
    const pictures = await readTensors("oracles/pictures.safetensors");
    const names = normalised(await readTensors("oracles/names.safetensors"), "lvis");
    const { lvis } = await readJson<{ lvis: string[] }>("oracles/names.json");
    const expected = await readJson<Record<string, string[][]>>("oracles/pictures.json");
    for (const set of ["unsplash", "web"]) {
      const embeddings = normalised(pictures, set);
      const found = Array.from({ length: embeddings.shape[0] }, (_, i) =>
        search(row(embeddings, i), names, 5).map(({ index }) => lvis[index]),
      );
      expect(found).toEqual(expected[`${set}_top5_lvis`]);
    }
  });

  test("CLIP's own diagram is a diagram", async () => {
    const tensors = await readTensors("oracles/clip-png.safetensors");
    const { logit_scale, probabilities } = await readJson<{ logit_scale: number; probabilities: number[] }>(
      "oracles/clip-png.json",
    );
    const given = classify(
      { logitScale: logit_scale, logitBias: null },
      normalised(tensors, "image"),
      normalised(tensors, "texts"),
    );
    expect(largestDifference(given.data, probabilities)).toBeLessThan(1e-5);
  });
});
