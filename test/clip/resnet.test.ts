import { beforeAll, describe, expect, test } from "vitest";
import { type ClipConfig, contrastiveModel, parameterTable } from "../../src/clip/index.js";
import { gradient } from "../../src/graph/index.js";
import type { TensorData } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { hasShared } from "../goldens.js";
import { type Expected, golden, goldenBatch, largestDifference, relativeDifference } from "./goldenModel.js";

const config: ClipConfig = {
  embedSize: 64,
  activation: "quick_gelu",
  image: { kind: "resnet", imageSize: 64, layers: [1, 2, 1, 1], width: 8, heads: 4 },
  text: { contextLength: 77, vocabularySize: 512, width: 64, layers: 1, heads: 1, mlpWidth: 256 },
};

describe.skipIf(!hasShared).each([
  ["in use", "eval", false],
  ["in training", "train", true],
] as const)("a ModifiedResNet %s, against open_clip", (_, mode, training) => {
  let weights: Map<string, Expected>;
  let results: Record<string, TensorData>;

  beforeAll(async () => {
    weights = await golden("models/resnet/resnet.openclip");
    const model = contrastiveModel(config, { batch: 6, training });
    const gradients = gradient(model.loss, [...model.parameters.values()]);
    const program = await nodeRuntime().compile({
      image_features: model.imageFeatures,
      text_features: model.textFeatures,
      logits_per_image: model.logits,
      loss: model.loss,
      ...Object.fromEntries([...model.parameters.keys()].map((name, i) => [`d ${name}`, gradients[i]!])),
      ...Object.fromEntries([...model.statistics].flatMap(([name, value]) => (value ? [[`new ${name}`, value]] : []))),
    });
    results = await program.run({ ...(await goldenBatch("resnet")), ...Object.fromEntries(weights) });
    await program.dispose();
  });
  const numbers = (name: string) => results[name]!.data as Float32Array;

  test("the checkpoint's tensors are the model's, but for the counters of batches", () => {
    const names = [...weights.keys()].filter((name) => !name.endsWith("num_batches_tracked"));
    expect(parameterTable(config).map(({ name }) => name)).toEqual(names.sort());
  });

  test("features, logits and loss within 1e-4 of the largest", async () => {
    const outputs = await golden(`models/resnet/${mode}.outputs`);
    for (const name of ["image_features", "text_features", "logits_per_image", "loss"]) {
      expect(relativeDifference(numbers(name), outputs.get(name)!.data), name).toBeLessThan(1e-4);
    }
  });

  // The references differ by 2.5e-6 among each other.
  test("as near to its run in float32 as frameworks are to each other", async () => {
    const inFloat32 = await golden(`models/resnet/${mode}.outputs.fp32`);
    for (const name of ["image_features", "text_features", "logits_per_image", "loss"]) {
      expect(relativeDifference(numbers(name), inFloat32.get(name)!.data), name).toBeLessThan(5e-6);
    }
  });

  test("every gradient within 1e-3 of its largest", async () => {
    const expected = await golden(`models/resnet/${mode}.grads`);
    for (const [name, { data }] of expected) {
      // Biases that a softmax or a batch normalisation takes away again: zero but for rounding.
      const shiftOfKeys = /k_proj\.bias|in_proj_bias/.test(name);
      const actual = numbers(`d ${name}`);
      if (shiftOfKeys) expect(largestDifference(actual, data), name).toBeLessThan(1e-5);
      else expect(relativeDifference(actual, data), name).toBeLessThan(1e-3);
    }
    expect(expected.size).toBeGreaterThan(70);
  });

  if (training)
    test("running averages after a batch within 1e-5 of the largest", async () => {
      const expected = await golden("models/resnet/train.running_stats");
      const measured = [...expected].filter(([name]) => !name.endsWith("num_batches_tracked"));
      expect(measured.length).toBeGreaterThan(40);
      for (const [name, { data }] of measured) {
        expect(relativeDifference(numbers(`new ${name}`), data), name).toBeLessThan(1e-5);
      }
    });
});
