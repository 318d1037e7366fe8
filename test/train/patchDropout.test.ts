import fc from "fast-check";
import { expect, test } from "vitest";
import { presets } from "../../src/clip/index.js";
import { keptCount, keptPatches } from "../../src/train/index.js";
import { patchesFor } from "../../src/train/patchDropout.js";

test("every picture keeps as many different patches, chosen by its seed alone", () => {
  const given = fc.record({
    patches: fc.integer({ min: 1, max: 80 }),
    dropped: fc.double({ min: 0, max: 0.99, noNaN: true }),
  });
  fc.assert(
    fc.property(given, fc.nat(), ({ patches, dropped }, seed) => {
      const count = keptCount(patches, dropped);
      const seeds = [
        [seed, 0],
        [seed, 1],
        [seed, 0],
      ];
      const kept = keptPatches(patches, dropped, seeds);
      const rows = seeds.map((_, row) => [...kept.subarray(row * count, (row + 1) * count)]);
      expect(kept.length).toBe(3 * count);
      for (const row of rows) {
        expect(new Set(row).size).toBe(count);
        expect(row.every((place) => place >= 0 && place < patches)).toBe(true);
      }
      expect(rows[2]).toEqual(rows[0]);
      expect(keptPatches(patches, dropped, [seeds[1]!])).toEqual(Int32Array.from(rows[1]!));
    }),
  );
});

test("ranks look at the patches that one process would look at", () => {
  const given = fc.record({
    checksums: fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { minLength: 2, maxLength: 12 }),
    cut: fc.nat(12),
    epoch: fc.nat(5),
    step: fc.nat(100),
  });
  fc.assert(
    fc.property(given, fc.nat(), ({ checksums, cut, ...position }, seed) => {
      const of = (rows: readonly number[]) =>
        patchesFor(presets["ViT-test"], 0.5, seed, { checksums: Uint32Array.from(rows), position });
      expect([...of(checksums.slice(0, cut)), ...of(checksums.slice(cut))]).toEqual([...of(checksums)]);
    }),
  );
});

test("every patch is kept as often as another", () => {
  const times = new Float64Array(9);
  const seeds = Array.from({ length: 3000 }, (_, i) => [1, i]);
  for (const place of keptPatches(9, 0.5, seeds)) times[place]!++;
  // 4 of 9 in 3,000 pictures: 1,333 times each, give or take 27
  for (const count of times) expect(Math.abs(count - 4000 / 3)).toBeLessThan(5 * 27.3);
});

test("a share is dropped as open_clip rounds it, and one patch stays", () => {
  expect([0.5, 0.75, 0.9, 0].map((dropped) => keptCount(49, dropped))).toEqual([24, 12, 4, 49]);
  expect(keptCount(4, 0.9)).toBe(1);
});
