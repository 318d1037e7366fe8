import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chooseCaption, epochPermutation } from "../../src/data/order.js";

const seeds = fc.integer({ min: 0, max: 2 ** 31 });

describe("epochPermutation", () => {
  test("takes every index exactly once", () => {
    fc.assert(
      fc.property(seeds, fc.nat(1000), fc.integer({ min: 1, max: 3000 }), (seed, epoch, length) => {
        const order = epochPermutation(seed, epoch, length);
        const indices = new Set(Array.from({ length }, (_, position) => order(position)));
        expect(indices.size).toBe(length);
        expect(Math.max(...indices)).toBe(length - 1);
        expect(Math.min(...indices)).toBe(0);
      }),
    );
  });

  test("stays inside and differs between neighbours for a hundred million samples", () => {
    const length = 100_000_007;
    const order = epochPermutation(1, 0, length);
    const indices = new Set(Array.from({ length: 20_000 }, (_, i) => order(i * 4999)));
    expect(indices.size).toBe(20_000);
    expect([...indices].every((index) => index >= 0 && index < length)).toBe(true);
  });

  test("looks random: each index is equally likely at each position, over epochs", () => {
    const [length, epochs] = [12, 6000];
    const counts = new Float64Array(length * length);
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = epochPermutation(7, epoch, length);
      for (let position = 0; position < length; position++) counts[position * length + order(position)]!++;
    }
    const expected = epochs / length;
    const chiSquared = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(chiSquared).toBeLessThan(200); // (12 − 1)² = 121 degrees of freedom: mean 121, standard deviation 15.6
  });

  test("neighbours of the data set do not stay neighbours", () => {
    const length = 10_000;
    const order = epochPermutation(3, 1, length);
    let close = 0;
    for (let position = 1; position < length; position++)
      if (Math.abs(order(position) - order(position - 1)) <= 50) close++;
    expect(close).toBeLessThan(160); // about 100 by chance
  });

  test("another epoch or seed is another order", () => {
    const take = (seed: number, epoch: number): number[] =>
      Array.from({ length: 50 }, (_, i) => epochPermutation(seed, epoch, 1000)(i));
    expect(take(1, 0)).not.toEqual(take(1, 1));
    expect(take(1, 0)).not.toEqual(take(2, 0));
    expect(take(1, 0)).toEqual(take(1, 0));
  });

  test("a position outside the epoch is refused", () => {
    expect(() => epochPermutation(1, 0, 10)(10)).toThrow(RangeError);
  });
});

test("every caption of a sample has its turn over the epochs, about equally often", () => {
  const captions = ["a", "b", "c"];
  const counts = { a: 0, b: 0, c: 0 };
  for (let epoch = 0; epoch < 3000; epoch++) counts[chooseCaption(captions, 5, epoch, 17) as "a" | "b" | "c"]++;
  for (const count of Object.values(counts)) expect(Math.abs(count - 1000)).toBeLessThan(130); // 5 standard deviations
});
