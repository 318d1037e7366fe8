import { expect, test } from "vitest";
import { type ClipConfig, initialise } from "../../src/clip/index.js";
import { randomStream } from "../../src/image/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { Trainer } from "../../src/train/index.js";

/** Just wide enough for its products to be worked out in integers. */
const config: ClipConfig = {
  embedSize: 32,
  activation: "quick_gelu",
  image: { kind: "vit", imageSize: 32, patchSize: 8, width: 192, layers: 2, heads: 3, mlpWidth: 192 },
  text: { contextLength: 16, vocabularySize: 50, width: 192, layers: 2, heads: 3, mlpWidth: 192 },
};
const size = 16;

test("a model learns a batch in int8 as it does in fp32", async () => {
  const random = randomStream([1]);
  const parameters = initialise(config, random);
  const batch = {
    pixels: Float32Array.from({ length: size * 3 * 32 * 32 }, () => 2 * random() - 1),
    ids: Int32Array.from({ length: size * 16 }, () => Math.floor(50 * random())),
    length: 16,
    size,
    group: Int32Array.from({ length: size }, (_, i) => i),
  };
  const runtime = nodeRuntime();
  const adamw = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.1, clipNorm: 1 };
  const losses = async (precision: "fp32" | "int8") => {
    const trainer = await Trainer.create(config, parameters, { ...adamw, batchSize: size, precision }, runtime);
    const found: number[] = [];
    for (let step = 0; step < 10; step++) found.push((await trainer.step(batch, 5e-4)).loss);
    await trainer.dispose();
    return found;
  };
  const [exact, rounded] = [await losses("fp32"), await losses("int8")];
  expect(rounded).not.toEqual(exact);
  expect(exact.at(-1)).toBeLessThan(exact[0]! / 2);
  for (const [i, loss] of exact.entries()) expect(Math.abs(rounded[i]! - loss), `step ${i}`).toBeLessThan(0.15);
});
