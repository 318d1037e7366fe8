/** @file The linear probe: its loss and gradient, its optimum beside scikit-learn's, the search for the penalty. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Picture } from "../../src/image/index.js";
import { randomStream } from "../../src/image/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import {
  classScores,
  createClip,
  evaluateLinearProbe,
  type Labelled,
  type LinearClassifier,
  logisticRegression,
} from "../../src/tasks/index.js";
import { minimise } from "../../src/tasks/lbfgs.js";
import { probeLoss, searchStrength } from "../../src/tasks/linearProbe.js";
import { classificationMetrics } from "../../src/tasks/metrics.js";
import { hasShared } from "../goldens.js";
import { largestDifference, readJson, readTensors } from "./tensors.js";
import { tinyCheckpoint } from "./tiny.js";

const runtime = nodeRuntime({ threads: 1 });
const random = randomStream([5]);
const classes = 3;
const width = 4;
const count = 30;
const data: Labelled = {
  features: { data: Float32Array.from({ length: count * width }, () => random() * 2 - 0.5), shape: [count, width] },
  labels: Array.from({ length: count }, () => Math.floor(random() * classes)),
};

/** Σ cross-entropy + ½ λ ‖W‖², and its gradient, written out in float64. */
function byHand({ weights, bias }: { weights: ArrayLike<number>; bias: ArrayLike<number> }, lambda: number) {
  let value = Array.from(weights).reduce((sum, w) => sum + 0.5 * lambda * w * w, 0);
  const dWeights = Array.from(weights, (w) => lambda * w);
  const dBias = Array.from(bias, () => 0);
  data.labels.forEach((label, i) => {
    const x = data.features.data.subarray(i * width, (i + 1) * width);
    const logits = Array.from(bias, (b, k) => x.reduce((sum, v, d) => sum + v * weights[k * width + d]!, b));
    const total = logits.reduce((sum, z) => sum + Math.exp(z), 0);
    value += Math.log(total) - logits[label]!;
    logits.forEach((z, k) => {
      const error = Math.exp(z) / total - (k === label ? 1 : 0);
      dBias[k]! += error;
      for (let d = 0; d < width; d++) dWeights[k * width + d]! += error * x[d]!;
    });
  });
  return { value, dWeights, dBias };
}

const numbers = (length: number) =>
  fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: length, maxLength: length });

describe("logistic regression", async () => {
  const regression = await logisticRegression(runtime, classes, width);
  afterAll(() => regression.dispose());

  test("has the loss and the gradient of its formula, at any point", async () => {
    const program = await runtime.compile(probeLoss(classes, width));
    await fc.assert(
      fc.asyncProperty(
        numbers(classes * width),
        numbers(classes),
        fc.constantFrom(0, 0.3, 10),
        async (w, b, lambda) => {
          const found = await program.run({
            features: data.features,
            labels: { data: Int32Array.from(data.labels), shape: [count] },
            weights: { data: Float32Array.from(w), shape: [classes, width] },
            bias: { data: Float32Array.from(b), shape: [classes] },
            decay: { data: Float32Array.of(lambda / count), shape: [] },
          });
          const expected = byHand({ weights: w, bias: b }, lambda);
          const mean = (values: number[]) => values.map((value) => value / count);
          expect(largestDifference(found.loss!.data as Float32Array, mean([expected.value]))).toBeLessThan(1e-4);
          expect(largestDifference(found.dWeights!.data as Float32Array, mean(expected.dWeights))).toBeLessThan(1e-5);
          expect(largestDifference(found.dBias!.data as Float32Array, mean(expected.dBias))).toBeLessThan(1e-5);
        },
      ),
      { numRuns: 40 },
    );
    await program.dispose();
  });

  test("ends where the gradient is zero, from whatever start: the function is convex", async () => {
    const lambda = 1.5;
    const reference = await regression.fit(data, lambda);
    const slopes = byHand({ weights: reference.weights.data, bias: reference.bias }, lambda);
    expect(Math.max(...[...slopes.dWeights, ...slopes.dBias].map(Math.abs))).toBeLessThan(1e-3);
    await fc.assert(
      fc.asyncProperty(numbers(classes * width), numbers(classes), async (w, b) => {
        const start: LinearClassifier = {
          weights: { data: Float32Array.from(w), shape: [classes, width] },
          bias: Float32Array.from(b),
        };
        const { weights, bias } = await regression.fit(data, lambda, start);
        expect(largestDifference(weights.data, reference.weights.data)).toBeLessThan(1e-3);
        // a number added to every bias changes no probability
        const relative = (biases: Float32Array) => biases.map((value) => value - biases[0]!);
        expect(largestDifference(relative(bias), relative(reference.bias))).toBeLessThan(1e-3);
      }),
      { numRuns: 20 },
    );
  });

  describe.skipIf(!hasShared)("on the reference's features", () => {
    interface Golden {
      readonly C: Record<string, { objective: number; test_accuracy: number; train_accuracy: number }>;
    }
    let train: Labelled;
    let unseen: Labelled;
    let tensors: Awaited<ReturnType<typeof readTensors>>;
    beforeAll(async () => {
      tensors = await readTensors("goldens/train/probe_coefficients.safetensors");
      const probe = await readTensors("goldens/train/probe.safetensors");
      const [features, labels] = [probe.get("features")!, [...probe.get("labels")!.data]];
      const part = (from: number, to: number): Labelled => ({
        features: { data: features.data.subarray(from * 32, to * 32), shape: [to - from, 32] },
        labels: labels.slice(from, to),
      });
      [train, unseen] = [part(0, 450), part(450, 600)];
    });

    test.each(["0.01", "0.1", "0.316", "1.0", "10.0"])("C = %s gives scikit-learn's optimum", async (c) => {
      const golden = (await readJson<Golden>("goldens/train/probe.json")).C[c]!;
      const probe = await logisticRegression(runtime, 10, 32);
      const classifier = await probe.fit(train, 1 / Number(c));
      await probe.dispose();
      const [coefficients, intercepts] = [tensors.get(`C${c}.coef`)!.data, tensors.get(`C${c}.intercept`)!.data];
      const largest = coefficients.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      expect(largestDifference(classifier.weights.data, coefficients)).toBeLessThan(2e-3 * largest);
      expect(largestDifference(classifier.bias, intercepts)).toBeLessThan(2e-3 * largest);
      const accuracy = (of: Labelled) => classificationMetrics(classScores(classifier, of.features), of.labels).top1;
      expect(accuracy(unseen)).toBeCloseTo(golden.test_accuracy, 6);
      expect(accuracy(train)).toBeCloseTo(golden.train_accuracy, 6);
    });
  });
});

describe("L-BFGS", () => {
  test("finds the minimum of a badly scaled bowl in few steps, and stops there", async () => {
    const scales = [1, 30, 1000, 0.05];
    const bowl = async (x: Float64Array) => ({
      value: x.reduce((sum, v, i) => sum + 0.5 * scales[i]! * (v - i) ** 2, 0),
      gradient: x.map((v, i) => scales[i]! * (v - i)),
    });
    const { x, iterations } = await minimise(bowl, new Float64Array(4).fill(9), { tolerance: 1e-8 });
    expect(largestDifference(x, [0, 1, 2, 3])).toBeLessThan(1e-6);
    expect(iterations).toBeLessThan(40);
    expect((await minimise(bowl, x, { tolerance: 1e-8 })).iterations).toBe(0);
    expect((await minimise(bowl, new Float64Array(4), { maxIterations: 2 })).iterations).toBe(2);
  });
});

describe("the strength of the penalty", () => {
  test("is found to an eighth of a decade, wherever accuracy has its one peak", async () => {
    await fc.assert(
      fc.asyncProperty(fc.double({ min: -6, max: 6, noNaN: true }), async (peak) => {
        const trials = await searchStrength(async (lambda) => -Math.abs(Math.log10(lambda) - peak));
        expect(Math.abs(Math.log10(trials[0]!.lambda) - peak)).toBeLessThanOrEqual(1 / 8);
        expect(trials.length).toBeLessThanOrEqual(7 + 2 * 4);
      }),
    );
  });

  test("is the strongest of equally good ones", async () => {
    expect((await searchStrength(async () => 0.5))[0]!.lambda).toBe(1e6);
  });
});

describe("a probe of a model", () => {
  const clip = createClip(tinyCheckpoint(), runtime);
  afterAll(() => clip.dispose());
  const grey = (level: number): Picture => ({ mode: "L", width: 8, height: 8, data: new Uint8Array(64).fill(level) });
  const pictures = (names: readonly string[], length: number) => ({
    length,
    classes: names.map((name) => ({ names: [name] })),
    read: async (i: number) => ({ image: grey(i % 2 === 0 ? 10 + i : 200 + i), label: i % 2 }),
  });

  test("tells light from dark, with a penalty found on pictures held out", async () => {
    const result = await evaluateLinearProbe(
      clip,
      runtime,
      pictures(["dark", "light"], 30),
      pictures(["dark", "light"], 8),
    );
    expect(result).toMatchObject({ trained: 30, tested: 8, unreadable: 0, accuracy: 1, meanPerClassRecall: 1 });
    expect(result.trials[0]).toEqual({ lambda: result.lambda, accuracy: 1 });
  });

  test("refuses other classes in the test, and too few pictures", async () => {
    const two = pictures(["dark", "light"], 6);
    const other = pictures(["dark", "grey"], 6);
    await expect(evaluateLinearProbe(clip, runtime, two, other)).rejects.toMatchObject({ code: "DifferentClasses" });
    await expect(evaluateLinearProbe(clip, runtime, two, two)).rejects.toMatchObject({ code: "TooFewPictures" });
  });
});
