import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contrastiveLoss, l2Normalise, similarity } from "../../src/clip/index.js";
import { gradient, input } from "../../src/graph/index.js";
import type { Program } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { largestDifference } from "./goldenModel.js";

/** Mean over rows of −Σ target · log softmax, with the target spread evenly over the row's positives; B×B, row-major. */
function crossEntropy(logits: readonly number[], group: readonly number[]): number {
  const size = group.length;
  let total = 0;
  for (let i = 0; i < size; i++) {
    const row = logits.slice(i * size, (i + 1) * size);
    const most = Math.max(...row);
    const logSum = most + Math.log(row.reduce((sum, v) => sum + Math.exp(v - most), 0));
    const positives = row.filter((_, j) => group[j] === group[i]);
    total += positives.reduce((sum, v) => sum + logSum - v, 0) / positives.length;
  }
  return total / size;
}
const turned = (logits: readonly number[], size: number) =>
  logits.map((_, k) => logits[(k % size) * size + Math.floor(k / size)]!);
const lossOf = (logits: readonly number[], group: readonly number[]) =>
  (crossEntropy(logits, group) + crossEntropy(turned(logits, group.length), group)) / 2;

/** CLIP's own: cross-entropy with the diagonal as labels, both ways (Radford et al. 2021, fig. 3). */
function clipLoss(logits: readonly number[], size: number): number {
  const oneWay = (rows: readonly number[]) => {
    let total = 0;
    for (let i = 0; i < size; i++) {
      const row = rows.slice(i * size, (i + 1) * size);
      total += Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0)) - row[i]!;
    }
    return total / size;
  };
  return (oneWay(logits) + oneWay(turned(logits, size))) / 2;
}

const runtime = nodeRuntime();
const batches = fc.integer({ min: 1, max: 6 }).chain((size) =>
  fc.record({
    logits: fc.array(
      fc.integer({ min: -400, max: 400 }).map((v) => v / 16),
      {
        minLength: size * size,
        maxLength: size * size,
      },
    ),
    group: fc.array(fc.nat(3), { minLength: size, maxLength: size }),
  }),
);

describe("the contrastive loss", () => {
  let program: Program;
  beforeAll(async () => {
    const logits = input("logits", ["B", "B"]);
    const loss = contrastiveLoss(logits, input("group", ["B"], "int32"));
    program = await runtime.compile({ loss, slope: gradient(loss, [logits])[0]! });
  });
  afterAll(() => program.dispose());
  const run = async (logits: readonly number[], group: readonly number[]) => {
    const { loss, slope } = await program.run({
      logits: { data: Float32Array.from(logits), shape: [group.length, group.length] },
      group: { data: Int32Array.from(group), shape: [group.length] },
    });
    return { loss: Number(loss!.data[0]), slope: slope!.data as Float32Array };
  };

  test("with equal captions is that of targets spread over them, and so is its gradient", async () => {
    await fc.assert(
      fc.asyncProperty(batches, async ({ logits, group }) => {
        const { loss, slope } = await run(logits, group);
        expect(loss).toBeCloseTo(lossOf(logits, group), 4);
        const slopes = logits.map((_, k) => {
          const at = (step: number) =>
            lossOf(
              logits.map((v, i) => (i === k ? v + step : v)),
              group,
            );
          return (at(1e-5) - at(-1e-5)) / 2e-5;
        });
        expect(largestDifference(slope, slopes)).toBeLessThan(1e-5);
      }),
      { numRuns: 50 },
    );
  });

  test("with captions all different is CLIP's", async () => {
    await fc.assert(
      fc.asyncProperty(batches, async ({ logits, group }) => {
        const { loss } = await run(logits, [...group.keys()]);
        expect(loss).toBeCloseTo(clipLoss(logits, group.length), 4);
      }),
      { numRuns: 50 },
    );
  });

  test("does not ask a caption to be unlike its equals: with all captions equal the best is ln B, however the pairs lie", async () => {
    const { loss, slope } = await run(new Array(9).fill(3), [5, 5, 5]);
    expect(loss).toBeCloseTo(Math.log(3), 5);
    expect(Math.max(...slope.map(Math.abs))).toBeLessThan(1e-6);
  });

  test("stays finite at the largest logits that the scale allows", async () => {
    const { loss } = await run([-100, 100, 100, -100], [0, 1]);
    expect(loss).toBeCloseTo(200, 3);
  });
});

test("similarity is the cosine times the exponential of the scale", async () => {
  const [a, b] = [input("a", ["N", 2]), input("b", ["M", 2])];
  const program = await runtime.compile({ out: similarity(a, b, input("scale", [])), unit: l2Normalise(a) });
  const { out, unit } = await program.run({
    a: { data: Float32Array.of(3, 4, 0, -2), shape: [2, 2] },
    b: { data: Float32Array.of(10, 0, 0, 1, 5, 5), shape: [3, 2] },
    scale: { data: Float32Array.of(Math.log(10)), shape: [] },
  });
  expect(unit!.shape).toEqual([2, 2]);
  expect(largestDifference(unit!.data as Float32Array, [0.6, 0.8, 0, -1])).toBeLessThan(1e-6);
  expect(out!.shape).toEqual([2, 3]);
  expect(largestDifference(out!.data as Float32Array, [6, 8, 7 * Math.SQRT2, 0, -10, -5 * Math.SQRT2])).toBeLessThan(
    1e-4,
  );
  await program.dispose();
});
