import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Checkpoint } from "../../src/checkpoint/index.js";
import {
  contrastiveModel,
  encodeImage,
  encodeText,
  initialise,
  inputSides,
  Parameters,
  parameterTable,
  presets,
  textEncoder,
} from "../../src/clip/index.js";
import { gradient, input } from "../../src/graph/index.js";
import { randomStream } from "../../src/image/index.js";
import type { Program, TensorData } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { hasShared } from "../goldens.js";
import {
  type Expected,
  golden,
  goldenBatch,
  goldenModel,
  largestDifference,
  relativeDifference,
} from "./goldenModel.js";

const runtime = nodeRuntime();
const numbers = ({ data }: TensorData) => data as Float32Array;

describe.skipIf(!hasShared).each(["vit", "vit-gelu"])("%s against open_clip", (name) => {
  let checkpoint: Checkpoint;
  let results: Record<string, TensorData>;
  let outputs: Map<string, Expected>;
  let grads: Map<string, Expected>;

  beforeAll(async () => {
    checkpoint = await goldenModel(name);
    [outputs, grads] = await Promise.all([golden(`models/${name}/outputs`), golden(`models/${name}/grads`)]);
    const model = contrastiveModel(checkpoint.config);
    const names = [...model.parameters.keys()];
    const gradients = gradient(model.loss, [...model.parameters.values()]);
    const program = await runtime.compile({
      image_features: model.imageFeatures,
      text_features: model.textFeatures,
      logits_per_image: model.logits,
      loss: model.loss,
      ...Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i]!])),
    });
    results = await program.run({ ...(await goldenBatch(name)), ...Object.fromEntries(checkpoint.parameters) });
    await program.dispose();
  });

  const answers = ["image_features", "text_features", "logits_per_image", "loss"];

  test.each(answers)("%s within 1e-4 of the largest", (key) => {
    expect(relativeDifference(numbers(results[key]!), outputs.get(key)!.data)).toBeLessThan(1e-4);
  });

  // The references differ by 2.5e-6 among each other.
  test("as near to its run in float32 as frameworks are to each other", async () => {
    const inFloat32 = await golden(`models/${name}/outputs.fp32`);
    for (const key of answers) {
      expect(relativeDifference(numbers(results[key]!), inFloat32.get(key)!.data), key).toBeLessThan(5e-6);
    }
  });

  test("every gradient within 1e-3 of its largest", () => {
    expect([...grads.keys()].sort()).toEqual(parameterTable(checkpoint.config).map(({ name }) => name));
    for (const [key, expected] of grads) {
      const actual = numbers(results[`d ${key}`]!);
      if (key.endsWith("in_proj_bias")) {
        // The keys' bias shifts all scores of a query alike: its gradient is zero but for rounding.
        const width = actual.length / 3;
        const part = (all: Float32Array, i: number) => all.subarray(i * width, (i + 1) * width);
        expect(relativeDifference(part(actual, 0), part(expected.data, 0)), key).toBeLessThan(1e-3);
        expect(largestDifference(part(actual, 1), part(expected.data, 1)), key).toBeLessThan(1e-6);
        expect(relativeDifference(part(actual, 2), part(expected.data, 2)), key).toBeLessThan(1e-3);
      } else {
        expect(relativeDifference(actual, expected.data), key).toBeLessThan(1e-3);
      }
    }
  });
});

describe("towers", () => {
  const config = { ...presets["ViT-test"], text: { ...presets["ViT-test"].text, vocabularySize: 40 } };
  const { contextLength } = config.text;
  const weights = initialise(config, randomStream([1]));
  const feeds = Object.fromEntries(weights);
  const batch = 5;
  const endOfText = 39;
  const random = randomStream([2]);
  /** Texts of 3 to 7 tokens, the rest of the context filled with `behind`. */
  const texts = (behind: number): TensorData => {
    const data = new Int32Array(batch * contextLength).fill(behind);
    for (let i = 0; i < batch; i++) {
      for (let j = 0; j < i + 3; j++) data[i * contextLength + j] = j === i + 2 ? endOfText : (7 * i + 5 * j) % 38;
    }
    return { data, shape: [batch, contextLength] };
  };
  const cut = ({ data }: TensorData, length: number): TensorData => {
    const rows = Array.from({ length: batch }, (_, i) => [
      ...(data as Int32Array).subarray(i * contextLength, i * contextLength + length),
    ]);
    return { data: Int32Array.from(rows.flat()), shape: [batch, length] };
  };
  let text: Program;
  beforeAll(async () => {
    text = await runtime.compile(textEncoder(config));
  });
  afterAll(() => text.dispose());
  const embed = async (ids: TensorData) => numbers((await text.run({ ids, ...feeds })).text_features!);

  test("texts cut to their longest equal padded ones", async () => {
    const padded = await embed(texts(0));
    expect(relativeDifference(await embed(cut(texts(0), 7)), padded)).toBeLessThan(1e-5);
  });

  test("what stands behind end of text changes nothing, what stands before does", async () => {
    const padded = await embed(texts(0));
    expect(relativeDifference(await embed(texts(11)), padded)).toBeLessThan(1e-5);
    const changed = texts(0);
    changed.data[1] = 20;
    const features = await embed(changed);
    const width = config.embedSize;
    expect(relativeDifference(features.subarray(width), padded.subarray(width))).toBeLessThan(1e-5);
    expect(relativeDifference(features.subarray(0, width), padded.subarray(0, width))).toBeGreaterThan(1e-3);
  });

  test("pictures in portions give the loss and gradients of pictures at once", async () => {
    const shape = [batch, 3, ...inputSides(config)];
    const pixels = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => 2 * random() - 1);
    const run = async (imagesAtATime?: number) => {
      const model = contrastiveModel(config, { batch, imagesAtATime });
      const [dConv] = gradient(model.loss, [model.parameters.get("visual.conv1.weight")!]);
      const program = await runtime.compile({ loss: model.loss, dConv: dConv! });
      const results = await program.run({
        pixels: { data: pixels, shape },
        ids: texts(0),
        group: { data: Int32Array.from([0, 1, 2, 3, 4]), shape: [batch] },
        ...feeds,
      });
      await program.dispose();
      return [numbers(results.loss!), numbers(results.dConv!)] as const;
    };
    const [loss, dConv] = await run();
    const [lossInParts, dConvInParts] = await run(2);
    expect(relativeDifference(lossInParts, loss)).toBeLessThan(1e-6);
    expect(relativeDifference(dConvInParts, dConv)).toBeLessThan(1e-4);
  });

  test("keep batch and length open", () => {
    const p = Parameters.root();
    expect(encodeText(config, p, input("ids", ["M", "L"], "int32")).shape).toEqual(["M", 32]);
    expect(encodeImage(config, p, input("pixels", ["N", 3, 32, 32])).shape).toEqual(["N", 32]);
  });
});
