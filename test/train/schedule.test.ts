import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { learningRate, type Schedule } from "../../src/train/index.js";

const rates = (options: Schedule, total: number) =>
  Array.from({ length: total }, (_, step) => learningRate(step, options, total));

describe("the learning rate", () => {
  test("rises linearly to its peak, then falls by half a cosine", () => {
    const cosine = rates({ learningRate: 8, warmup: 4 }, 12);
    expect(cosine.slice(0, 5)).toEqual([2, 4, 6, 8, 8]);
    expect(cosine[8]).toBeCloseTo(4, 12);
    for (let step = 5; step < 12; step++) expect(cosine[step]!).toBeLessThan(cosine[step - 1]!);
  });

  test("falls in a straight line, or stays, or stays and cools down, as open_clip's schedulers do", () => {
    const options = { learningRate: 8, warmup: 2 };
    expect(rates({ ...options, schedule: "linear" }, 6)).toEqual([4, 8, 8, 6, 4, 2]);
    expect(rates({ ...options, schedule: "constant" }, 6)).toEqual([4, 8, 8, 8, 8, 8]);
    // const_lr_cooldown with power 1 and end 0: step 8 − 4 is the first whose decay is counted, as 1
    expect(rates({ ...options, schedule: "constant", cooldown: 4 }, 8)).toEqual([4, 8, 8, 8, 8, 6, 4, 2]);
  });

  test("never passes its peak, has no jump but a warm-up's steps, and ends where its schedule says", () => {
    const anySchedule = fc.record({
      schedule: fc.constantFrom("cosine" as const, "linear" as const, "constant" as const),
      warmup: fc.integer({ min: 1, max: 50 }),
      rest: fc.integer({ min: 20, max: 400 }),
      cooldown: fc.integer({ min: 0, max: 20 }),
    });
    fc.assert(
      fc.property(anySchedule, ({ rest, ...given }) => {
        const options = { ...given, learningRate: 1 };
        const total = options.warmup + rest;
        const all = [...rates(options, total), learningRate(total, options, total)];
        const steepest = Math.max(1 / options.warmup, Math.PI / 2 / rest + 1 / (options.cooldown || rest));
        expect(Math.max(...all)).toBe(1);
        expect(Math.min(...all)).toBeGreaterThanOrEqual(0);
        const changes = all.slice(1).map((rate, step) => Math.abs(rate - all[step]!));
        expect(Math.max(...changes)).toBeLessThanOrEqual(steepest + 1e-12);
        expect(all[options.warmup - 1]).toBe(1);
        expect(all[options.warmup]).toBe(1);
        expect(all[total]).toBeCloseTo(options.schedule === "constant" && options.cooldown === 0 ? 1 : 0, 12);
      }),
    );
  });
});
