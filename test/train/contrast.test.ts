/** @file The loss in blocks of rows equals the loss of the whole matrix, whatever a block's size. */
import { describe, expect, test } from "vitest";
import { batchLoss, l2Normalise, type Objective, presets, similarity } from "../../src/clip/index.js";
import { gradient, input } from "../../src/graph/index.js";
import { randomStream } from "../../src/image/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { createContrast } from "../../src/train/contrast.js";
import { alone } from "../../src/train/index.js";
import { largestDifference } from "../clip/goldenModel.js";

const runtime = nodeRuntime({ threads: 1 });
const [pairs, width] = [11, 5];
const config = { ...presets["ViT-test"], embedSize: width };
const random = randomStream([4]);
const matrix = () => {
  const data = new Float32Array(pairs * width);
  for (let row = 0; row < pairs; row++) {
    const values = Array.from({ length: width }, () => random() - 0.5);
    const length = Math.hypot(...values);
    data.set(
      values.map((value) => value / length),
      row * width,
    );
  }
  return { data, shape: [pairs, width] };
};
const [image, text, teacher] = [matrix(), matrix(), { image: matrix(), text: matrix() }];
const group = Int32Array.of(0, 1, 2, 0, 4, 5, 6, 2, 8, 9, 0);
const logitScale = { data: Float32Array.of(2.5), shape: [] };

describe.each<[string, Objective]>([
  ["softmax", { loss: { kind: "softmax", labelSmoothing: 0.05 } }],
  ["sigmoid", { loss: { kind: "sigmoid" } }],
  ["a teacher", { loss: { kind: "softmax" }, distillation: { features: 1, similarity: 1, temperature: 0.1 } }],
])("%s", (_, objective) => {
  /** Loss and gradients in one graph, by differentiation. */
  async function atOnce() {
    const [a, b] = [input("image", [pairs, width]), input("text", [pairs, width])];
    const scale = input("logit_scale", []);
    const logits = similarity(a, b, scale);
    const features = { imageFeatures: a, textFeatures: b };
    const loss = batchLoss({ ...features, logits, group: input("group", [pairs], "int32") }, objective);
    // by the unit vectors, as the blocks have them
    const [ofImage, ofText, ofScale] = gradient(loss, [a, b, scale]);
    const program = await runtime.compile({ loss, ofImage: ofImage!, ofText: ofText!, ofScale: ofScale! });
    const results = await program.run({
      image,
      text,
      logit_scale: logitScale,
      group: { data: group, shape: [pairs] },
      teacher_image: teacher.image,
      teacher_text: teacher.text,
    });
    await program.dispose();
    return results;
  }

  test.each([1, 2 * pairs, 1 << 21])("in blocks of %i logits", async (logitsAtOnce) => {
    const task = { config, objective, learning: {} };
    const contrast = await createContrast(task, new Map([["logit_scale", logitScale]]), runtime, alone, logitsAtOnce);
    const into = { image: new Float32Array(pairs * width), text: new Float32Array(pairs * width) };
    const given = objective.distillation && teacher;
    const { loss, ofNoTower } = await contrast.run({ image: image.data, text: text.data }, group, given, into);
    await contrast.dispose();
    // what a unit vector's gradient says along the vector itself, normalisation takes away
    const x = input("x", [pairs, width]);
    const project = await runtime.compile({ dx: gradient(l2Normalise(x), [x], input("upstream", [pairs, width]))[0]! });
    const tangent = async (features: typeof image, upstream: Float32Array) =>
      (await project.run({ x: features, upstream: { data: upstream, shape: [pairs, width] } })).dx!
        .data as Float32Array;
    const expected = await atOnce();
    expect(Math.abs(loss / Number(expected.loss!.data[0]) - 1)).toBeLessThan(1e-5);
    expect(largestDifference(await tangent(image, into.image), expected.ofImage!.data as Float32Array)).toBeLessThan(
      1e-6,
    );
    expect(largestDifference(await tangent(text, into.text), expected.ofText!.data as Float32Array)).toBeLessThan(1e-6);
    expect(ofNoTower.get("logit_scale")).toBeCloseTo(Number(expected.ofScale!.data[0]), 5);
    await project.dispose();
  });
});
