import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { type ClipConfig, initialise, parameterTable, presets } from "../../src/clip/index.js";
import { randomStream } from "../../src/image/index.js";
import { hasShared, shared } from "../goldens.js";

const countOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

describe("presets", () => {
  /** Millions of parameters, by open_clip's `docs/model_profile.csv`: all, picture tower, text tower. */
  test.each([
    ["RN50", 102.01, 38.32, 63.69],
    ["RN101", 119.69, 56.26, 63.43],
    ["RN50x4", 178.3, 87.14, 91.16],
    ["RN50x16", 290.98, 167.33, 123.65],
    ["RN50x64", 623.26, 420.38, 202.88],
    ["ViT-B-32", 151.28, 87.85, 63.43],
    ["ViT-B-16", 149.62, 86.19, 63.43],
    ["ViT-L-14", 427.62, 303.97, 123.65],
    ["ViT-L-14-336", 427.94, 304.29, 123.65],
  ] as const)("%s has %f M parameters to learn", (name, all, image, text) => {
    const millions = (ofTower: (name: string) => boolean) =>
      parameterTable(presets[name])
        .filter(({ name, learned }) => learned && ofTower(name))
        .reduce((sum, { shape }) => sum + countOf(shape) / 1e6, 0);
    expect(millions(() => true)).toBeCloseTo(all, 2);
    expect(millions((name) => name.startsWith("visual."))).toBeCloseTo(image, 2);
    expect(millions((name) => !name.startsWith("visual.") && name !== "logit_scale")).toBeCloseTo(text, 2);
  });

  test.skipIf(!hasShared)("ViT-B-32 has the names and shapes of OpenAI's file", async () => {
    const file: Record<string, { readonly shape: readonly number[] }> = JSON.parse(
      await readFile(shared("oracles/vit-b-32.tensors.json"), "utf8"),
    );
    const notTrained = ["input_resolution", "context_length", "vocab_size"];
    const expected = Object.entries(file).filter(([name]) => !notTrained.includes(name));
    const ours = parameterTable(presets["ViT-B-32"]).map(({ name, shape }) => [name, shape]);
    expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(expected.map(([name, { shape }]) => [name, shape])));
  });

  test("tables are in the order of the names", () => {
    const names = parameterTable(presets["ViT-test"]).map(({ name }) => name);
    expect(names).toEqual([...names].sort());
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("initial values", () => {
  const config: ClipConfig = {
    embedSize: 256,
    activation: "quick_gelu",
    image: { kind: "vit", imageSize: 64, patchSize: 8, width: 256, layers: 1, heads: 4, mlpWidth: 1024 },
    text: { contextLength: 24, vocabularySize: 2000, width: 192, layers: 4, heads: 3, mlpWidth: 768 },
  };
  const values = initialise(config, randomStream([3]));

  /** Standard deviation and kind, as measured on a fresh open_clip 3.3 model of these sizes. */
  test.each([
    ["positional_embedding", "normal", 0.01],
    ["token_embedding.weight", "normal", 0.02],
    ["text_projection", "normal", 0.0722],
    ["transformer.resblocks.0.attn.in_proj_weight", "normal", 0.0722],
    ["transformer.resblocks.3.attn.out_proj.weight", "normal", 0.0255],
    ["transformer.resblocks.0.mlp.c_fc.weight", "normal", 0.051],
    ["transformer.resblocks.0.mlp.c_fc.bias", "uniform", 0.0417],
    ["transformer.resblocks.0.mlp.c_proj.weight", "normal", 0.0255],
    ["transformer.resblocks.0.mlp.c_proj.bias", "uniform", 0.0208],
    ["visual.positional_embedding", "normal", 0.0625],
    ["visual.class_embedding", "normal", 0.0625],
    ["visual.proj", "normal", 0.0625],
    ["visual.conv1.weight", "uniform", 0.0417],
    ["visual.transformer.resblocks.0.attn.in_proj_weight", "uniform", 0.0442],
    ["visual.transformer.resblocks.0.attn.out_proj.weight", "uniform", 0.0361],
    ["visual.transformer.resblocks.0.mlp.c_fc.weight", "uniform", 0.0361],
    ["visual.transformer.resblocks.0.mlp.c_fc.bias", "uniform", 0.0361],
    ["visual.transformer.resblocks.0.mlp.c_proj.weight", "uniform", 0.018],
    ["visual.transformer.resblocks.0.mlp.c_proj.bias", "uniform", 0.018],
  ] as const)("%s: %s, standard deviation %f", (name, kind, deviation) => {
    const { data } = values.get(name)!;
    const mean = data.reduce((a, b) => a + b, 0) / data.length;
    const measured = Math.sqrt(data.reduce((sum, v) => sum + (v - mean) ** 2, 0) / data.length);
    const error = 4 / Math.sqrt(data.length);
    expect(Math.abs(mean) / deviation).toBeLessThan(error);
    expect(Math.abs(measured / deviation - 1)).toBeLessThan(error + 0.005);
    // A uniform value never lies beyond √3 deviations; one normal value in twelve does.
    const beyond = data.filter((v) => Math.abs(v) > Math.sqrt(3) * 1.01 * deviation).length / data.length;
    if (kind === "uniform") expect(beyond).toBe(0);
    else expect(beyond).toBeCloseTo(0.08, 1);
  });

  test("gains are 1, the other biases 0, the logit scale ln(1/0.07)", () => {
    for (const [name, { data }] of values) {
      if (/ln_\w+\.weight$/.test(name))
        expect(
          data.every((v) => v === 1),
          name,
        ).toBe(true);
      if (/(ln_\w+\.bias|in_proj_bias|out_proj\.bias)$/.test(name))
        expect(
          data.every((v) => v === 0),
          name,
        ).toBe(true);
    }
    expect(values.get("logit_scale")!.data[0]).toBeCloseTo(2.65926, 5);
  });

  test("are a function of the seed", () => {
    const small = presets["ViT-test"];
    const first = initialise(small, randomStream([4]));
    expect(initialise(small, randomStream([4]))).toEqual(first);
    expect(initialise(small, randomStream([5])).get("visual.proj")).not.toEqual(first.get("visual.proj"));
    expect([...first.keys()]).toEqual(parameterTable(small).map(({ name }) => name));
  });
});
