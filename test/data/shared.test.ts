import { describe, expect, test } from "vitest";
import { captions, openSource } from "../../src/data/index.js";
import { hasShared, shared } from "../goldens.js";

const tinyImagenet = { classes: shared("data/train/tiny-imagenet.classes.json"), templates: ["a photo of a {}"] };

/** Each data set with its number of samples (its README's) and its first sample's captions. */
const sets: readonly [spec: Record<string, unknown> & { shards: string }, length: number, first: readonly string[]][] =
  [
    [{ shards: "train/fashion-00.tar" }, 5000, ["Franco Leone Men Formal Black Formal Shoes"]],
    [
      { shards: "train/emoji-{noto,twemoji,fluent-emoji-flat,emojione}.tar" },
      6258,
      ["1st place medal", "1st", "first", "gold", "medal", "place", "award", "winning"],
    ],
    [{ shards: "train/tiny-imagenet-00.tar", ...tinyImagenet }, 10_000, ["a photo of a sandal"]],
    [
      { shards: "eval/tiny-imagenet-val.tar", ...tinyImagenet },
      2000,
      ["a photo of a goldfish", "a photo of a Carassius auratus"],
    ],
    [{ shards: "eval/cifar10-test.tar", templates: ["{}"] }, 3000, ["airplane"]],
    [{ shards: "eval/nlvr-500.tar", caption: "sentence" }, 500, ["There are 4 black blocks"]],
    [
      { shards: "eval/iiit5k-1500.tar", captions: { table: shared("data/eval/iiit5k-1500.jsonl"), caption: "word" } },
      1500,
      ["PRIVATE"],
    ],
    [
      { shards: "eval/fashion-1000.tar", captions: { table: shared("data/eval/fashion-1000.tsv") } },
      1000,
      ["Urban Yoga Women Solid Black Capris"],
    ],
    [
      { shards: "eval/emoji-openmoji.tar" },
      1942,
      ["1st place medal", "1st", "first", "gold", "medal", "place", "award", "winning"],
    ],
  ];

describe.skipIf(!hasShared)("real shards", () => {
  test.each(sets)("%j has all its samples", async (spec, length, first) => {
    const source = await openSource(spec, shared("data"));
    const { image, captions: texts } = await source.read(0);
    await source.close();
    expect([source.length, source.problems]).toEqual([length, []]);
    expect(
      [image.subarray(0, 2), image.subarray(1, 4)].map((bytes) => Buffer.from(bytes).toString("latin1")),
    ).toSatisfy(([jpeg, png]: string[]) => jpeg === "\xff\xd8" || png === "PNG");
    expect(texts).toEqual(first);
  });

  test("five captions a photograph", async () => {
    const source = await openSource({ shards: "flickr8k-1000.tar" }, shared("data/eval"));
    let count = 0;
    for await (const caption of captions(source)) if (caption.length > 0) count++;
    await source.close();
    expect(count).toBe(5000);
  });
});
