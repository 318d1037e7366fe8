import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { presets } from "../../src/clip/index.js";
import { randomStream } from "../../src/image/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { AdamW, type AdamWOptions, arenaLayout, arenaViews, parseRecipe } from "../../src/train/index.js";
import { largestDifference } from "../clip/goldenModel.js";
import { recipe } from "./pairs.js";

const runtime = nodeRuntime();

describe("the arena", () => {
  const layout = arenaLayout([
    { name: "bn1.running_mean", shape: [6], learned: false },
    { name: "logit_scale", shape: [], learned: true },
    { name: "ln_1.weight", shape: [4], learned: true },
    { name: "proj", shape: [4, 3], learned: true },
    { name: "c_fc.bias", shape: [2], learned: true },
    { name: "token_embedding.weight", shape: [5, 2], learned: true },
  ]);

  test("holds every parameter once, without gaps: what decays, what does not, what is not learned", () => {
    expect(layout.slots.map(({ name, offset, size }) => [name, offset, size])).toEqual([
      ["proj", 0, 12],
      ["token_embedding.weight", 12, 10],
      ["logit_scale", 22, 1],
      ["ln_1.weight", 23, 4],
      ["c_fc.bias", 27, 2],
      ["bn1.running_mean", 29, 6],
    ]);
    expect([layout.decayed, layout.learned, layout.length]).toEqual([22, 29, 35]);
  });

  test("views write through", () => {
    const arena = new Float32Array(layout.length);
    arenaViews(layout, arena).get("ln_1.weight")!.data.fill(3);
    expect([...arena.entries()].filter(([, value]) => value === 3).map(([i]) => i)).toEqual([23, 24, 25, 26]);
  });
});

describe("AdamW", () => {
  const options: AdamWOptions = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2, clipNorm: 0.5 };
  const rate = 1e-2;

  /** Algorithm 2 of Loshchilov & Hutter 2019 on one array in float64, after clipping to the norm. */
  function reference(
    start: Float32Array,
    gradients: readonly Float32Array[],
    decayed: number,
    rateAt: (index: number) => number = () => rate,
  ): number[] {
    const { beta1, beta2, epsilon, weightDecay, clipNorm } = options;
    const values = [...start];
    const [first, second] = [values.map(() => 0), values.map(() => 0)] as [number[], number[]];
    for (const [t, gradient] of gradients.entries()) {
      const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
      const clip = Math.min(1, clipNorm! / (norm + 1e-6));
      for (let i = 0; i < values.length; i++) {
        const rate = rateAt(i);
        const g = gradient[i]! * clip;
        first[i] = beta1 * first[i]! + (1 - beta1) * g;
        second[i] = beta2 * second[i]! + (1 - beta2) * g * g;
        if (i < decayed) values[i]! *= 1 - rate * weightDecay;
        const mean = first[i]! / (1 - beta1 ** (t + 1));
        const deviation = Math.sqrt(second[i]! / (1 - beta2 ** (t + 1)));
        values[i]! -= (rate * mean) / (deviation + epsilon);
      }
    }
    return values;
  }

  test("has the norm of a million gradients to seven digits", async () => {
    const random = randomStream([1]);
    const gradients = Float32Array.from({ length: 1_000_003 }, () => random() ** 8);
    const layout = arenaLayout([{ name: "w", shape: [1, gradients.length], learned: true }]);
    const optimiser = await AdamW.create(layout, options, runtime);
    const exact = Math.sqrt(gradients.reduce((sum, g) => sum + g * g, 0));
    expect(Math.abs((await optimiser.norm(gradients)) / exact - 1)).toBeLessThan(1e-7);
    await optimiser.dispose();
  });

  test("is the algorithm, over arenas of any size, longer than a chunk too", async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(5, 70_000, 300_000), fc.nat(3), async (matrix, bias) => {
        const table = [
          { name: "w", shape: [1, matrix], learned: true },
          ...(bias ? [{ name: "bias", shape: [bias], learned: true }] : []),
        ];
        const layout = arenaLayout(table);
        const draw = (phase: number) =>
          Float32Array.from({ length: layout.length }, (_, i) => Math.sin(i * 1.7 + phase));
        const start = draw(0);
        const gradients = [draw(1), draw(2), draw(3)];
        const adamw = await AdamW.create(layout, options, runtime);
        const values = start.slice();
        for (const gradient of gradients) {
          const length = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0));
          expect((await adamw.step(values, gradient, rate)) / length).toBeCloseTo(1, 4);
        }
        expect(adamw.steps).toBe(3);
        expect(largestDifference(values, reference(start, gradients, layout.decayed))).toBeLessThan(1e-5);
        await adamw.dispose();
      }),
      { numRuns: 6 },
    );
  });

  test("gives each parameter its share of the learning rate, of the decay too", async () => {
    const layout = arenaLayout(
      ["w1", "w2", "w3", "bias1", "bias2"].map((name) => ({
        name,
        shape: name.startsWith("w") ? [2, 40_000] : [3],
        learned: true,
      })),
    );
    const shares: Readonly<Record<string, number>> = { w1: 0.25, w2: 0.5, w3: 0.5, bias1: 0.5, bias2: 0 };
    const rateAt = (index: number) => rate * shares[layout.slots.findLast(({ offset }) => offset <= index)!.name]!;
    const start = Float32Array.from({ length: layout.length }, (_, i) => Math.sin(i));
    const gradient = start.map((_, i) => Math.cos(i * 1.3));
    const adamw = await AdamW.create(layout, options, runtime, (name) => shares[name]!);
    const values = start.slice();
    for (let step = 0; step < 2; step++) await adamw.step(values, gradient, rate);
    const expected = reference(start, [gradient, gradient], layout.decayed, rateAt);
    expect(largestDifference(values, expected)).toBeLessThan(1e-5);
    expect(values.subarray(-3)).toEqual(start.subarray(-3));
    await adamw.dispose();
  });
});

describe("a recipe", () => {
  test("fills in what is left out", () => {
    expect(recipe()).toMatchObject({ beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2, clipNorm: 1, seed: 1 });
  });

  test.each([
    ["UnknownOption", { lerningRate: 1 }, 'has no option "lerningRate". Did you mean "learningRate"?'],
    ["UnknownOption", { augment: { scale: [0.9, 1], flp: true } }, '"augment" has no option "flp"'],
    ["UnknownOption", { model: { ...presets["ViT-test"], embedsize: 3 } }, '"model" has no option "embedsize"'],
    ["InvalidRecipe", { model: "ViT-B32" }, '"ViT-B-32"|"ViT-B-16"'],
    ["InvalidRecipe", { model: { ...presets["ViT-test"], embedSize: -1 } }, '"model.embedSize" is wrong'],
    ["InvalidRecipe", { tokenizer: "clop" }, '"tokenizer" is wrong'],
    ["InvalidRecipe", { batchSize: 0 }, '"batchSize" is wrong'],
    ["InvalidRecipe", { learningRate: "fast" }, '"learningRate" is wrong'],
    ["InvalidRecipe", { augment: { scale: [0.9, 1.5], flip: true } }, '"augment.scale.1" is wrong'],
  ])("with a mistake is refused: %s %j", (code, changes, message) => {
    expect(() => recipe(changes)).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
  });

  test("must be an object, with what has no default", () => {
    expect(() => parseRecipe(null)).toThrow(expect.objectContaining({ code: "InvalidRecipe" }));
    expect(() => parseRecipe({ model: "ViT-test" })).toThrow(expect.objectContaining({ code: "InvalidRecipe" }));
  });
});
