import { afterAll, beforeAll, expect, test } from "vitest";
import { type Clip, row } from "../../src/tasks/index.js";
import { loadClip } from "../../src/tasks/node.js";

const model = "models/diptych-mini";
let exact: Clip;
let rounded: Clip;

beforeAll(async () => {
  exact = await loadClip(model);
  rounded = await loadClip(model, { precision: "int8" });
});
afterAll(() => Promise.all([exact.dispose(), rounded.dispose()]));

const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const cosine = (a: Float32Array, b: Float32Array) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

test("pictures and texts point in int8 where they do in fp32", async () => {
  const pictures = Array.from({ length: 6 }, (_, i) => ({
    // bands of two colours, different in each picture
    data: Uint8Array.from({ length: 64 * 64 * 3 }, (_, j) => ((j >> (i + 3)) % 2 ? 40 * i : 255 - 30 * (j % 3))),
    width: 64,
    height: 64,
    mode: "RGB" as const,
  }));
  const texts = [
    "a photo of a tabby cat.",
    "blue shoes for women",
    "keycap: 7",
    "an Egyptian cat and a red car on a beach",
  ];
  for (const [expected, actual] of [
    [await exact.embedImages(pictures), await rounded.embedImages(pictures)],
    [await exact.embedTexts(texts), await rounded.embedTexts(texts)],
  ] as const) {
    expect(actual.data).not.toEqual(expected.data);
    for (let i = 0; i < expected.shape[0]; i++) expect(cosine(row(actual, i), row(expected, i))).toBeGreaterThan(0.99);
  }
});
