/** @file The sigmoid loss against open_clip's, on features of the golden models: value, logits and every gradient. */
import { describe, expect, test } from "vitest";
import { contrastiveLoss, similarity } from "../../src/clip/index.js";
import { add, gradient, input } from "../../src/graph/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { hasShared } from "../goldens.js";
import { golden, relativeDifference } from "./goldenModel.js";

const runtime = nodeRuntime({ threads: 1 });

describe.skipIf(!hasShared).each(["vit", "vit-gelu"])("on the features of %s", (name) => {
  test("loss, logits and gradients agree", async () => {
    const expected = await golden(`models/${name}/siglip_loss`);
    const [batch, width] = expected.get("image_features")!.shape as readonly [number, number];
    const image = input("image_features", [batch, width]);
    const text = input("text_features", [batch, width]);
    const scale = input("logit_scale", []);
    const bias = input("logit_bias", []);
    const logits = add(similarity(image, text, scale), bias);
    const loss = contrastiveLoss(logits, input("group", [batch], "int32"), { loss: { kind: "sigmoid" } });
    const inputs = [image, text, scale, bias];
    const names = ["image_features", "text_features", "logit_scale", "logit_bias"];
    const gradients = gradient(loss, inputs);
    const outputs = Object.fromEntries(names.map((of, i) => [`grad_${of}`, gradients[i]!]));
    const program = await runtime.compile({ loss, logits, ...outputs });
    const feeds = Object.fromEntries(names.map((of) => [of, expected.get(of)!]));
    const group = { data: Int32Array.from({ length: batch }, (_, i) => i), shape: [batch] };
    const results = await program.run({ ...feeds, group });
    await program.dispose();
    for (const [output, { data }] of Object.entries(results)) {
      expect(relativeDifference(data as Float32Array, expected.get(output)!.data), output).toBeLessThan(1e-5);
    }
  });
});

test("nothing overflows where logits are huge, and the right answer costs nothing", async () => {
  const logits = input("logits", [2, 2]);
  const program = await runtime.compile({
    loss: contrastiveLoss(logits, input("group", [2], "int32"), { loss: { kind: "sigmoid" } }),
  });
  const group = { data: Int32Array.of(0, 1), shape: [2] };
  const of = async (...data: number[]) =>
    (await program.run({ logits: { data: Float32Array.from(data), shape: [2, 2] }, group })).loss!.data[0];
  expect(await of(1e4, -1e4, -1e4, 1e4)).toBe(0);
  expect(await of(-1e4, 1e4, 1e4, -1e4)).toBe(2e4);
  expect(await of(0, 0, 0, 0)).toBeCloseTo(2 * Math.log(2), 6);
  await program.dispose();
});
