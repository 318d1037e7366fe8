import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  AutoProcessor,
  AutoTokenizer,
  CLIPTextModelWithProjection,
  CLIPVisionModelWithProjection,
  env,
  RawImage,
  SiglipTextModel,
  SiglipVisionModel,
  Tensor,
} from "@huggingface/transformers";
import * as ort from "onnxruntime-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Checkpoint, loadCheckpoint, replaceFile, saveCheckpoint } from "../../src/checkpoint/node.js";
import { onnxTowers } from "../../src/checkpoint/onnx.js";
import { randomStream } from "../../src/image/index.js";
import type { TensorData } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { type Clip, createClip, type Matrix, normaliseRows } from "../../src/tasks/index.js";
import { golden, goldenBatch, goldenModel, relativeDifference } from "../clip/goldenModel.js";
import { hasShared, shared } from "../goldens.js";
import { tinyCheckpoint } from "../tasks/tiny.js";
import { publishedVariant } from "./publishedVariant.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-onnx-"));
});
afterAll(() => rm(folder, { recursive: true }));

const options: ort.InferenceSession.SessionOptions = { intraOpNumThreads: 1, logSeverityLevel: 3 };
const open = (place: string, tower: string) =>
  ort.InferenceSession.create(path.join(place, "onnx", `${tower}.onnx`), options);

/** Runs both towers of a folder as any program that knows ONNX would. */
async function runTowers(place: string, pixels: { data: Float32Array; shape: readonly number[] }, ids: typeof pixels) {
  const [text, vision] = [await open(place, "text_model"), await open(place, "vision_model")];
  const int64 = BigInt64Array.from(ids.data, (id) => BigInt(id));
  const { text_embeds } = await text.run({ input_ids: new ort.Tensor("int64", int64, ids.shape) });
  const { image_embeds } = await vision.run({ pixel_values: new ort.Tensor("float32", pixels.data, pixels.shape) });
  await Promise.all([text.release(), vision.release()]);
  return { text: text_embeds!.data as Float32Array, image: image_embeds!.data as Float32Array };
}

const tiny = tinyCheckpoint();
const random = randomStream([3]);
const side = tiny.preprocess.size as number;
const pixels = {
  data: Float32Array.from({ length: 2 * 3 * side * side }, () => random() * 4 - 2),
  shape: [2, 3, side, side],
};
const texts = ["a photo of a cat", "two dogs playing in the snow"];
const { startId, endId } = tiny.tokenizer!;
const rowsOfIds = texts.map((text) => [startId, ...tiny.tokenizer!.encode(text), endId]);
const length = Math.max(...rowsOfIds.map((row) => row.length));
const ids = {
  data: Float32Array.from(rowsOfIds.flatMap((row) => [...row, ...Array(length - row.length).fill(endId)])),
  shape: [2, length],
};

async function features(checkpoint: Checkpoint) {
  const clip = createClip(checkpoint, nodeRuntime({ threads: 1 }));
  const image = await clip.encodeImage(pixels);
  const text = await clip.encodeText({ data: Int32Array.from(ids.data), shape: ids.shape });
  await clip.dispose();
  return { image: image.data, text: text.data };
}

describe("a folder written as ONNX", () => {
  test("holds two standard models, named as transformers.js asks for them", async () => {
    const place = path.join(folder, "tiny");
    await saveCheckpoint(place, tiny, { format: "onnx" });
    expect((await readdir(place)).sort()).toEqual([
      ...["config.json", "merges.txt", "onnx", "preprocessor_config.json"],
      ...["tokenizer.json", "tokenizer_config.json", "vocab.json"],
    ]);
    const [text, vision] = [await open(place, "text_model"), await open(place, "vision_model")];
    expect([text.inputNames, text.outputNames]).toEqual([["input_ids"], ["text_embeds"]]);
    expect(text.inputMetadata[0]).toMatchObject({ type: "int64", shape: ["batch_size", "L"] });
    expect([vision.inputNames, vision.outputNames]).toEqual([["pixel_values"], ["image_embeds"]]);
    expect(vision.inputMetadata[0]).toMatchObject({ type: "float32", shape: ["batch_size", 3, side, side] });
    await expect(loadCheckpoint(place)).rejects.toThrow("ONNX files are written for other programs, not read");
    for (const name of ["text_model", "vision_model"]) {
      expect((await readFile(path.join(place, "onnx", `${name}.onnx`))).includes("com.microsoft")).toBe(false);
    }
  });

  test("gives the model's own numbers, whether the weights lie inside or apart", async () => {
    const expected = await features(tiny);
    const inside = path.join(folder, "inside");
    await saveCheckpoint(inside, tiny, { format: "onnx" });
    const apart = path.join(folder, "apart");
    await saveCheckpoint(apart, tiny, { format: "onnx" });
    const { files, config } = onnxTowers(tiny, "F32", 10_000);
    for (const [name, pieces] of Object.entries(files)) await replaceFile(path.join(apart, name), pieces);
    expect(config).toMatchObject({
      model_type: "clip",
      "transformers.js_config": { use_external_data_format: { "text_model.onnx": 1, "vision_model.onnx": 1 } },
    });
    expect((await stat(path.join(apart, "onnx/vision_model.onnx"))).size).toBeLessThan(100_000);
    for (const place of [inside, apart]) {
      const found = await runTowers(place, pixels, ids);
      expect(relativeDifference(found.text, expected.text)).toBeLessThan(1e-5);
      expect(relativeDifference(found.image, expected.image)).toBeLessThan(1e-5);
    }
  });

  test("is not written in half precision, and then nothing is", async () => {
    const place = path.join(folder, "half");
    const saving = saveCheckpoint(place, tiny, { format: "onnx", dtype: "F16" });
    await expect(saving).rejects.toMatchObject({ code: "CannotExpress" });
    await expect(stat(place)).rejects.toThrow("ENOENT");
  });

  test("is replaced whole by another format", async () => {
    const place = path.join(folder, "replaced");
    await saveCheckpoint(place, tiny, { format: "onnx" });
    await saveCheckpoint(place, { ...tiny, tokenizer: null }, { format: "openClip" });
    expect((await readdir(place)).sort()).toEqual(["open_clip_config.json", "open_clip_model.safetensors"]);
  });

  test.skipIf(!hasShared).each([
    ["vit", "outputs"],
    ["vit-gelu", "outputs"],
    ["resnet", "eval.outputs"],
  ])("%s gives the reference's features", async (name, outputs) => {
    const place = path.join(folder, name);
    await saveCheckpoint(place, await goldenModel(name), { format: "onnx" });
    const { pixels, ids } = await goldenBatch(name);
    const expected = await golden(`models/${name}/${outputs}`);
    const found = await runTowers(
      place,
      { data: pixels.data as Float32Array, shape: pixels.shape },
      { data: Float32Array.from(ids.data as Int32Array), shape: ids.shape },
    );
    expect(relativeDifference(found.image, expected.get("image_features")!.data)).toBeLessThan(1e-4);
    expect(relativeDifference(found.text, expected.get("text_features")!.data)).toBeLessThan(1e-4);
  });
});

describe("transformers.js on such a folder", () => {
  const cosines = ({ data: a, shape: [n, width] }: Matrix, b: Matrix) =>
    Array.from({ length: n }, (_, row) => {
      let sum = 0;
      for (let i = row * width; i < (row + 1) * width; i++) sum += a[i]! * b.data[i]!;
      return sum;
    });
  const normalised = ({ data, dims }: { data: unknown; dims: number[] }) =>
    normaliseRows({ data: data as Float32Array, shape: [dims[0]!, dims[1]!] });
  /** A picture of the model's size, so that resizing, which transformers.js does otherwise than Pillow, has nothing to do. */
  const picture = (size: number) => {
    const draw = randomStream([size]);
    return Uint8Array.from({ length: size * size * 3 }, () => draw() * 256);
  };

  async function compare(name: string, checkpoint: Checkpoint, captions: readonly string[]) {
    await saveCheckpoint(path.join(folder, name), checkpoint, { format: "onnx" });
    Object.assign(env, { allowRemoteModels: false, localModelPath: `${folder}/`, useFSCache: false });
    const settings = { dtype: "fp32", session_options: options } as const;
    const [text, vision, tokenizer, processor] = await Promise.all([
      CLIPTextModelWithProjection.from_pretrained(name, settings),
      CLIPVisionModelWithProjection.from_pretrained(name, settings),
      AutoTokenizer.from_pretrained(name),
      AutoProcessor.from_pretrained(name),
    ]);
    const size = checkpoint.preprocess.size as number;
    const data = picture(size);
    const theirs = {
      text: normalised((await text(tokenizer([...captions], { padding: true, truncation: true }))).text_embeds),
      image: normalised((await vision(await processor(new RawImage(data, size, size, 3)))).image_embeds),
    };
    await Promise.all([text.dispose(), vision.dispose()]);
    const clip: Clip = createClip(checkpoint, nodeRuntime({ threads: 1 }));
    const ours = {
      text: await clip.embedTexts(captions),
      image: await clip.embedImages([{ mode: "RGB", data, width: size, height: size }]),
    };
    await clip.dispose();
    return [...cosines(ours.text, theirs.text), ...cosines(ours.image, theirs.image)];
  }

  test("gives the same embeddings, from its own tokenizer and pixels", async () => {
    const found = await compare("tiny-for-js", tiny, texts);
    for (const cosine of found) expect(cosine).toBeGreaterThan(0.9999);
  });

  test.skipIf(!hasShared)("gives the same embeddings with CLIP's whole vocabulary", async () => {
    const checkpoint = await loadCheckpoint(shared("goldens/models/vit-full.hf"));
    const captions = ["a photo of a cat", "A red Car, parked!", "naïve café in 1984"];
    for (const cosine of await compare("full-for-js", checkpoint, captions)) expect(cosine).toBeGreaterThan(0.9999);
  });

  /** What transformers.js makes of the checkpoint, written as ONNX, within 1e-4 of the largest of `expected`. */
  async function expectFeatures(
    name: string,
    checkpoint: Checkpoint,
    inputs: { readonly pixels: TensorData; readonly ids: TensorData },
    expected: Awaited<ReturnType<typeof golden>>,
  ) {
    const place = `${name}-for-js`;
    await saveCheckpoint(path.join(folder, place), checkpoint, { format: "onnx" });
    Object.assign(env, { allowRemoteModels: false, localModelPath: `${folder}/`, useFSCache: false });
    const settings = { dtype: "fp32", session_options: options } as const;
    const text = await CLIPTextModelWithProjection.from_pretrained(place, settings);
    const vision = await CLIPVisionModelWithProjection.from_pretrained(place, settings);
    const { pixels, ids } = inputs;
    const int64 = BigInt64Array.from(ids.data as Int32Array, (id) => BigInt(id));
    const pixelValues = new Tensor("float32", pixels.data as Float32Array, [...pixels.shape]);
    const theirs = {
      image_features: (await vision({ pixel_values: pixelValues })).image_embeds.data,
      text_features: (await text({ input_ids: new Tensor("int64", int64, [...ids.shape]) })).text_embeds.data,
    };
    await Promise.all([text.dispose(), vision.dispose()]);
    for (const [key, data] of Object.entries(theirs)) {
      expect(relativeDifference(data, expected.get(key)!.data), key).toBeLessThan(1e-4);
    }
  }

  test.skipIf(!hasShared).each([
    ["vit", "outputs"],
    ["vit-gelu", "outputs"],
    ["resnet", "eval.outputs"], // which transformers itself does not know
  ])("gives the reference's features of %s", async (name, outputs) => {
    await expectFeatures(
      name,
      await goldenModel(name),
      await goldenBatch(name),
      await golden(`models/${name}/${outputs}`),
    );
  });

  // Nor does it know these: other pools, norms, masks, projections and blocks of either tower.
  test
    .skipIf(!hasShared)
    .each([
      ...[
        "vision_pool_avg",
        "vision_no_ln_pre",
        "vision_layer_scale",
        "vision_sin_cos_2d",
        "vision_attentional_pool_tok",
      ],
      ...["text_no_causal_mask", "text_pool_eos", "text_proj_bias", "text_embed_cls"],
      ...["clipa_style", "siglip_text_style", "block_qk_norm", "coca"],
    ])("gives the reference's features of open_clip's variant %s", async (name) => {
    const checkpoint = await loadCheckpoint(await publishedVariant(folder, name));
    const outputs = await golden(`models/variants/${name}.io`);
    const inputs = new Map([...(await golden("models/variants/inputs")), ...outputs]);
    const tokens = inputs.get("tokens")!;
    const ids = { data: Int32Array.from(tokens.data), shape: tokens.shape };
    await expectFeatures(name, checkpoint, { pixels: inputs.get("images")!, ids }, outputs);
  });

  test.skipIf(!hasShared)("gives SigLIP's embeddings", async () => {
    const checkpoint = await loadCheckpoint(shared("goldens/models/siglip/siglip.hf"));
    await saveCheckpoint(path.join(folder, "siglip-for-js"), checkpoint, { format: "onnx" });
    Object.assign(env, { allowRemoteModels: false, localModelPath: `${folder}/`, useFSCache: false });
    const settings = { dtype: "fp32", session_options: options } as const;
    const text = await SiglipTextModel.from_pretrained("siglip-for-js", settings);
    const vision = await SiglipVisionModel.from_pretrained("siglip-for-js", settings);
    const processor = await AutoProcessor.from_pretrained("siglip-for-js");
    const inputs = await golden("models/siglip/inputs");
    const [images, tokens] = [inputs.get("images")!, inputs.get("tokens")!];
    const int64 = BigInt64Array.from(tokens.data, (id) => BigInt(id));
    const texts = await text({ input_ids: new Tensor("int64", int64, [...tokens.shape]) });
    const pictures = await vision({ pixel_values: new Tensor("float32", images.data, [...images.shape]) });
    const { pixel_values } = await processor(new RawImage(new Uint8Array(80 * 60 * 3).fill(255), 80, 60, 3));
    await Promise.all([text.dispose(), vision.dispose()]);
    const outputs = await golden("models/siglip/outputs.tanh");
    expect(relativeDifference(texts.pooler_output.data, outputs.get("text_features")!.data)).toBeLessThan(1e-4);
    expect(relativeDifference(pictures.pooler_output.data, outputs.get("image_features")!.data)).toBeLessThan(1e-4);
    expect([pixel_values.dims, pixel_values.data[0]]).toEqual([[1, 3, 64, 64], 1]);
  });
});
