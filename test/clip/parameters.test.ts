import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { memorySource } from "../../src/checkpoint/index.js";
import { loadCheckpoint } from "../../src/checkpoint/node.js";
import { parseTorch } from "../../src/checkpoint/torch.js";
import { type ClipConfig, initialise, parameterTable, presets } from "../../src/clip/index.js";
import { randomStream } from "../../src/image/index.js";
import { hasShared, shared } from "../goldens.js";

const countOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

const extras = {
  layerScale: true,
  additions: ["queryKeyNorm", "headScale", "innerNorm", "attentionNorm", "mlpNorm"],
} satisfies Partial<ClipConfig["text"]>;

const openaiStateDicts = [
  ["RN50", 434, "3a17de52a98d4171"],
  ["RN101", 689, "787017c64d9a72f1"],
  ["RN50x4", 584, "5193b7cfb84ef004"],
  ["RN50x16", 794, "9fd9571ce37e0c52"],
  ["RN50x64", 1154, "2ee84b6cb91d24ba"],
  ["ViT-B-32", 302, "33d93cd7d8ce2954"],
  ["ViT-B-16", 302, "f0b7ddef9e82ee2e"],
  ["ViT-L-14", 446, "322fc21453df65b0"],
  ["ViT-L-14-336", 446, "b3d6094ac01fc7ec"],
] as const;

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

  /** The state dicts of OpenAI's files by open_clip 3.3, but for `num_batches_tracked`: tensors, hash of "name shape" lines. */
  test.each(openaiStateDicts)("%s has the names and shapes of its state dict", (name, count, hash) => {
    const lines = parameterTable(presets[name]).map(({ name, shape }) => `${name} ${shape.join("x")}`);
    expect(lines.length).toBe(count);
    expect(createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 16)).toBe(hash);
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

  /** `convert_weights` in OpenAI's `clip/model.py`. */
  const keptSingle = /(^|\.)(ln_\w+|bn\d|downsample\.1)\.|embedding|^logit_scale$/;

  test.skipIf(!hasShared)(
    "OpenAI's files hold what goes into products in half precision, the rest in float32",
    async () => {
      const oracle: Record<string, { readonly dtype?: string }> = JSON.parse(
        await readFile(shared("oracles/vit-b-32.tensors.json"), "utf8"),
      );
      const stored = new Map(
        Object.entries(oracle).map(([name, { dtype }]) => [name, dtype === "float16" ? "F16" : "F32"]),
      );
      expectTypes(presets["ViT-B-32"], stored);
      for (const name of ["vit", "resnet"]) {
        const file = shared(`goldens/models/${name}/${name}.openai.pt`);
        const { tensors } = await parseTorch(memorySource(file, await readFile(file)));
        expectTypes((await loadCheckpoint(file)).config, new Map(tensors.map((tensor) => [tensor.name, tensor.type])));
      }

      function expectTypes(config: ClipConfig, types: ReadonlyMap<string, string>) {
        for (const { name } of parameterTable(config)) {
          expect(types.get(name), name).toBe(keptSingle.test(name) ? "F32" : "F16");
        }
      }
    },
  );

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

  test.each(Object.entries(presets))("exist for every parameter of %s, here made narrow", (_, preset) => {
    const image =
      preset.image.kind === "resnet"
        ? { ...preset.image, width: 8, heads: 4, imageSize: 64 }
        : { ...preset.image, width: 16, heads: 2, mlpWidth: 32, imageSize: preset.image.patchSize };
    const text = { ...preset.text, width: 16, heads: 2, mlpWidth: 32, vocabularySize: 40 };
    const narrow = { ...preset, embedSize: 16, image, text };
    expect([...initialise(narrow, randomStream([1])).keys()]).toEqual(parameterTable(narrow).map(({ name }) => name));
  });

  const { text } = presets["ViT-test"];
  const image = { kind: "vit", imageSize: 32, patchSize: 8, width: 32, layers: 2, heads: 2, mlpWidth: 128 } as const;
  test.each<[string, ClipConfig["image"], ClipConfig["text"]]>([
    ["layer scale and all additions", { ...image, ...extras }, { ...text, ...extras }],
    ["CoCa", { ...image, attentionPool: { kind: "queries", queries: 3, heads: 2 } }, { ...text, classToken: true }],
    [
      "CoCa, wider than its embedding",
      { ...image, width: 64, attentionPool: { kind: "queries", queries: 3, heads: 2 } },
      text,
    ],
    [
      "SigLIP",
      {
        ...{ ...image, classToken: false, patchBias: true, preNorm: false, projection: false },
        attentionPool: { kind: "probe", heads: 2, mlpWidth: 64 },
      },
      { ...text, projection: "linear", causal: false, pool: "last" },
    ],
  ])("exist for every parameter of a variant: %s", (_, image, text) => {
    const config: ClipConfig = { embedSize: 32, activation: "gelu", image, text, logitBias: true };
    const table = parameterTable(config);
    const values = initialise(config, randomStream([1]));
    expect([...values.keys()]).toEqual(table.map(({ name }) => name));
    for (const { name } of table) expect(values.get(name)!.data.every(Number.isFinite), name).toBe(true);
  });

  test("are a function of the seed", () => {
    const small = presets["ViT-test"];
    const first = initialise(small, randomStream([4]));
    expect(initialise(small, randomStream([4]))).toEqual(first);
    expect(initialise(small, randomStream([5])).get("visual.proj")).not.toEqual(first.get("visual.proj"));
    expect([...first.keys()]).toEqual(parameterTable(small).map(({ name }) => name));
  });
});
