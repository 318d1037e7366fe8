/** @file Every model of the reference in every container, from its file to features, loss and gradients. */
import { copyFile, cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Checkpoint, loadCheckpoint, saveCheckpoint } from "../../src/checkpoint/node.js";
import { contrastiveModel, type ModelOptions } from "../../src/clip/index.js";
import { gradient } from "../../src/graph/index.js";
import type { TensorData } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { createClip } from "../../src/tasks/index.js";
import { type Expected, golden, largestDifference, relativeDifference } from "../clip/goldenModel.js";
import { hasShared, shared } from "../goldens.js";
import { publishedVariant, variantJson } from "./publishedVariant.js";

const runtime = nodeRuntime({ threads: 1 });
const models = shared("goldens/models");
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-variants-"));
});
afterAll(() => rm(folder, { recursive: true }));

type Tensors = ReadonlyMap<string, Expected>;

interface Run {
  readonly imageFeatures: Float32Array;
  readonly textFeatures: Float32Array;
  readonly logits: Float32Array;
  readonly loss: Float32Array;
  /** By our names. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  readonly statistics: ReadonlyMap<string, Float32Array>;
}

/** The model on a batch of the reference: `images` and `tokens`. */
async function run(checkpoint: Checkpoint, inputs: Tensors, options: ModelOptions & { gradients?: boolean } = {}) {
  const images = inputs.get("images")!;
  const tokens = inputs.get("tokens")!;
  const batch = images.shape[0]!;
  const model = contrastiveModel(checkpoint.config, { batch, ...options });
  const names = options.gradients ? [...model.parameters.keys()] : [];
  const gradients = gradient(
    model.loss,
    names.map((name) => model.parameters.get(name)!),
  );
  const measured = [...model.statistics].filter(([, value]) => value !== null);
  const program = await runtime.compile({
    imageFeatures: model.imageFeatures,
    textFeatures: model.textFeatures,
    logits: model.logits,
    loss: model.loss,
    ...Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i]!])),
    ...Object.fromEntries(measured.map(([name, value]) => [`new ${name}`, value!])),
  });
  const feeds: Record<string, TensorData> = {
    ...Object.fromEntries(checkpoint.parameters),
    pixels: images,
    ids: { data: Int32Array.from(tokens.data), shape: tokens.shape },
    group: { data: Int32Array.from({ length: batch }, (_, i) => i), shape: [batch] },
  };
  const results = await program.run(feeds);
  await program.dispose();
  const numbers = (name: string) => results[name]!.data as Float32Array;
  return {
    imageFeatures: numbers("imageFeatures"),
    textFeatures: numbers("textFeatures"),
    logits: numbers("logits"),
    loss: numbers("loss"),
    gradients: new Map(names.map((name) => [name, numbers(`d ${name}`)])),
    statistics: new Map(measured.map(([name]) => [name, numbers(`new ${name}`)])),
  } satisfies Run;
}

function expectOutputs(result: Run, outputs: Tensors, tolerance = 1e-4) {
  const pairs = {
    image_features: result.imageFeatures,
    text_features: result.textFeatures,
    logits_per_image: result.logits,
    loss: result.loss,
  };
  for (const [name, actual] of Object.entries(pairs)) {
    expect(relativeDifference(actual, outputs.get(name)!.data), name).toBeLessThan(tolerance);
  }
}

function expectGradients(actual: ReadonlyMap<string, Float32Array>, expected: ReadonlyMap<string, Float32Array>) {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, values] of expected) {
    const most = values.reduce((largest, v) => Math.max(largest, Math.abs(v)), 0);
    // the keys' part of a bias shifts all scores of a query alike: zero but for rounding
    expect(largestDifference(actual.get(name)!, values), name).toBeLessThan(1e-3 * most + 1e-6);
  }
}

const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));

describe.skipIf(!hasShared)("the plain models, in every container", () => {
  test.each([
    ["vit", "vit.openclip.safetensors"],
    ["vit", "vit.hf"],
    ["vit", "vit.hf-sharded"],
    ["vit", "vit.openai.pt"],
    ["vit-gelu", "vit-gelu.openclip.safetensors"],
    ["vit-gelu", "vit-gelu.openclip.bf16.safetensors"],
    ["vit-gelu", "vit-gelu.openclip.fp16.safetensors"],
    ["vit-gelu", "vit-gelu.openclip.checkpoint.pt"],
    ["vit-gelu", "vit-gelu.openclip.plain-fp16.pt"],
    ["vit-gelu", "vit-gelu.openclip.legacy-bf16.pt"],
    ["vit-gelu", "vit-gelu.hf"],
  ])("%s/%s", async (model, file) => {
    const checkpoint = await loadCheckpoint(path.join(models, model, file));
    expectOutputs(
      await run(checkpoint, await golden(`models/${model}/inputs`)),
      await golden(`models/${model}/outputs`),
    );
  });
});

describe.skipIf(!hasShared)("the ResNet", () => {
  const load = (file: string) => loadCheckpoint(path.join(models, "resnet", file));

  test.each(["resnet.openclip.safetensors", "resnet.openai.pt"])("%s, with running averages", async (file) => {
    const result = await run(await load(file), await golden("models/resnet/inputs"), { gradients: true });
    expectOutputs(result, await golden("models/resnet/eval.outputs"));
    const expected = await golden("models/resnet/eval.grads");
    expectGradients(result.gradients, new Map([...expected].map(([name, { data }]) => [name, data])));
  });

  test("in training: batch statistics, gradients through them, and new running averages", async () => {
    const checkpoint = await load("resnet.openclip.safetensors");
    const options = { training: true, gradients: true };
    const result = await run(checkpoint, await golden("models/resnet/inputs"), options);
    expectOutputs(result, await golden("models/resnet/train.outputs"));
    const expected = await golden("models/resnet/train.grads"); // of the picture tower and the scale
    const ofImage = [...result.gradients].filter(([name]) => expected.has(name));
    expectGradients(new Map(ofImage), new Map([...expected].map(([name, { data }]) => [name, data])));
    const averages = await golden("models/resnet/train.running_stats");
    for (const [name, value] of result.statistics) {
      expect(relativeDifference(value, averages.get(name)!.data), name).toBeLessThan(1e-5);
    }
    expect([...averages.keys()].filter((name) => !name.endsWith("num_batches_tracked")).sort()).toEqual(
      [...result.statistics.keys()].sort(),
    );
  });
});

describe.skipIf(!hasShared)("SigLIP", () => {
  const activations = { tanh: "gelu_tanh", erf: "gelu" } as const;
  const given = { heads: { image: 2, text: 2 }, activation: "gelu_tanh" } as const;
  const timm = path.join(models, "siglip/siglip.openclip.safetensors");
  const huggingFace = path.join(models, "siglip/siglip.hf");

  test.each(["tanh", "erf"] as const)("Hugging Face's folder, %s", async (kind) => {
    const read = await loadCheckpoint(huggingFace);
    expect(read.config.activation).toBe("gelu_tanh");
    expect(read.preprocess).toMatchObject({ size: 64, mean: [0.5, 0.5, 0.5], resize: "squash" });
    const config = { ...read.config, activation: activations[kind] };
    const result = await run({ ...read, config }, await golden("models/siglip/inputs"), {
      objective: { loss: { kind: "sigmoid" } },
    });
    expectOutputs(result, await golden(`models/siglip/outputs.${kind}`), 1e-5);
  });

  test("its towers are independent: one exact, the other approximate", async () => {
    const read = await loadCheckpoint(huggingFace);
    const config = {
      ...read.config,
      activation: "gelu",
      text: { ...read.config.text, activation: "gelu_tanh" },
    } as const;
    const result = await run({ ...read, config }, await golden("models/siglip/inputs"), {
      objective: { loss: { kind: "sigmoid" } },
    });
    const [erf, tanh] = [await golden("models/siglip/outputs.erf"), await golden("models/siglip/outputs.tanh")];
    expect(relativeDifference(result.imageFeatures, erf.get("image_features")!.data)).toBeLessThan(1e-5);
    expect(relativeDifference(result.textFeatures, tanh.get("text_features")!.data)).toBeLessThan(1e-5);
  });

  test("open_clip's file with timm's tower: the sizes come from its shapes, and every gradient agrees", async () => {
    const bare = path.join(folder, "siglip.safetensors");
    await copyFile(timm, bare);
    const read = await loadCheckpoint(bare, given);
    const hf = await loadCheckpoint(huggingFace);
    expect(read.config).toEqual({ ...hf.config, text: { ...hf.config.text, padId: undefined } });
    expect(read.preprocess).toEqual({ ...hf.preprocess, convention: "torchvision" });
    const result = await run(read, await golden("models/siglip/inputs"), {
      objective: { loss: { kind: "sigmoid" } },
      gradients: true,
    });
    expectOutputs(result, await golden("models/siglip/outputs.tanh"), 1e-5);

    // the reference's gradients, under its names, come through the same renaming as its weights
    await copyFile(path.join(models, "siglip/grads.safetensors"), path.join(folder, "grads.safetensors"));
    const { parameters } = await loadCheckpoint(path.join(folder, "grads.safetensors"), given);
    expectGradients(result.gradients, new Map([...parameters].map(([name, { data }]) => [name, data])));
  });

  test("open_clip's file beside its config, which brings the preprocessing", async () => {
    await expect(loadCheckpoint(timm)).rejects.toThrow("UnsupportedModel");
    const { preprocess } = await loadCheckpoint(timm, given);
    expect(preprocess).toMatchObject({ size: 64, mean: [0.5, 0.5, 0.5], resize: "squash" });
  });

  test("a folder with nothing but a SentencePiece model has no tokenizer, and says what to do about texts", async () => {
    const place = path.join(folder, "spiece");
    await cp(huggingFace, place, { recursive: true });
    await writeFile(path.join(place, "spiece.model"), "protobuf");
    const read = await loadCheckpoint(place);
    expect(read.origin).toContain("tokenizer: none: spiece.model is not read without a tokenizer.json");
    const clip = createClip(read, runtime);
    await expect(clip.embedTexts(["a cat"])).rejects.toMatchObject({
      code: "NoTokenizer",
      remedy: expect.stringMatching(/tokenizer\.json.*spiece\.model.*save_pretrained/),
    });
    await clip.dispose();
  });

  test.each(["huggingFace", "diptych"] as const)("saved as %s, it is the same", async (format) => {
    const read = await loadCheckpoint(huggingFace);
    const place = path.join(folder, `siglip-${format}`);
    await saveCheckpoint(place, read, { format });
    const again = await loadCheckpoint(place);
    expect([again.config, again.preprocess]).toEqual([read.config, read.preprocess]);
    expect([...again.parameters]).toEqual([...read.parameters]);
  });
});

const variants = [
  ...["base_clip", "base_custom_text", "quick_gelu", "act_gelu_tanh", "norm_eps_1e-3", "logit_bias_nonscalar"],
  ...["vision_pool_avg", "vision_final_ln_after_pool", "vision_no_ln_pre", "vision_layer_scale", "vision_mlp_ratio"],
  ...["vision_patch_dropout_eval", "vision_sin_cos_2d", "vision_non_square", "vision_patch_not_dividing"],
  ...["vision_attentional_pool_tok", "vision_attentional_pool_avg", "text_layer_scale", "text_no_causal_mask"],
  ...["text_pool_last", "text_pool_first", "text_pool_eos", "text_proj_bias", "text_proj_none", "text_embed_cls"],
  ...["clipa_style", "siglip_text_style", "block_qk_norm", "block_scale_all", "coca"],
];

/** What transformers' CLIP cannot be, as the refusal names it. */
const unknownToHuggingFace: Readonly<Record<string, string>> = {
  vision_pool_avg: 'image.pool = "average"',
  vision_final_ln_after_pool: 'image.pool = "average"',
  vision_no_ln_pre: "image.preNorm = false",
  vision_layer_scale: "image.layerScale",
  text_layer_scale: "text.layerScale",
  vision_attentional_pool_tok: "image.attentionPool",
  vision_attentional_pool_avg: 'image.pool = "average"',
  vision_non_square: "image_size",
  text_no_causal_mask: "text.causal = false",
  text_pool_last: 'text.pool = "last"',
  text_pool_first: 'text.pool = "first"',
  text_pool_eos: "text.pool",
  text_proj_bias: 'text.projection = "linear"',
  text_proj_none: 'text.projection = "none"',
  text_embed_cls: "text.classToken",
  logit_bias_nonscalar: "logitBias",
  clipa_style: 'image.pool = "average"',
  siglip_text_style: 'text.pool = "last"',
  block_qk_norm: 'image.additions = ["queryKeyNorm"]',
  block_scale_all: "image.additions",
  coca: "image.attentionPool",
};

describe.skipIf(!hasShared)("the options of open_clip's configs", () => {
  test("are all here", async () => {
    expect([...variants].sort()).toEqual(Object.keys(await variantJson("index")).sort());
  });

  test.each(variants)("%s", async (name) => {
    const checkpoint = await loadCheckpoint(await publishedVariant(folder, name));
    const outputs = await golden(`models/variants/${name}.io`);
    const inputs = new Map([...(await golden("models/variants/inputs")), ...outputs]);
    const result = await run(checkpoint, inputs, { gradients: true });
    expectOutputs(result, outputs);
    const { gradient_norms } = (await variantJson(name)) as { gradient_norms: Record<string, number> };
    for (const [key, expected] of Object.entries(gradient_norms)) {
      if (key.startsWith("text_decoder.")) continue;
      if (key === "visual.positional_embedding" && name === "vision_sin_cos_2d") continue; // fixed there
      const actual = norm(result.gradients.get(key.replace(/^text\./, ""))!);
      expect(Math.abs(actual - expected), key).toBeLessThan(1e-3 * expected + 1e-6);
    }
    if (name === "coca") expect(checkpoint.origin).toContain("left out: CoCa's captioner");

    const place = path.join(folder, `${name}-again`);
    await saveCheckpoint(place, checkpoint, { format: "openClip" });
    const again = await loadCheckpoint(place);
    expect(again.config).toEqual(checkpoint.config);
    expect([...again.parameters]).toEqual([...checkpoint.parameters]);

    // the other formats say this model too, or refuse it and name the option
    await saveCheckpoint(place, checkpoint, { format: "diptych" });
    expect((await loadCheckpoint(place)).config).toEqual(checkpoint.config);
    const option = unknownToHuggingFace[name];
    const saving = saveCheckpoint(place, checkpoint, { format: "huggingFace" });
    if (option) await expect(saving).rejects.toMatchObject({ problem: expect.stringContaining(option) });
    else await saving.then(async () => expect((await loadCheckpoint(place)).config).toEqual(checkpoint.config));
  });
});
