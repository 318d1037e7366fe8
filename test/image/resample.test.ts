/** @file The kernel's sums against the same sums in JavaScript, of any size and channels, with hundreds of taps. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Axis, resizeAxis } from "../../src/image/axis.js";
import { resample } from "../../src/image/resample.js";

interface Plane {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly data: Uint8Array;
}

/** One pass of Pillow's, as it is written down: weights of 22 bits, the sum rounded and clipped. */
function pass({ width, height, channels, data }: Plane, { taps, first, count, weights }: Axis, across: boolean): Plane {
  const integer = (weight: number) => Math.trunc(weight * 2 ** 22 + Math.sign(weight) * 0.5);
  const [columns, rows] = across ? [first.length, height] : [width, first.length];
  const out = new Uint8Array(columns * rows * channels);
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns * channels; x++) {
      const i = across ? Math.floor(x / channels) : y;
      let sum = 2 ** 21;
      for (let t = 0; t < count[i]!; t++) {
        const from = first[i]! + t;
        const at = across ? (y * width + from) * channels + (x % channels) : from * width * channels + x;
        sum += data[at]! * integer(weights[i * taps + t]!);
      }
      out[y * columns * channels + x] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** 22)));
    }
  }
  return { width: columns, height: rows, channels, data: out };
}

const picture = fc.record({
  width: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 300, max: 1500 })),
  height: fc.integer({ min: 1, max: 20 }),
  channels: fc.integer({ min: 1, max: 4 }),
  turned: fc.boolean(),
  levels: fc.constantFrom([255], [0, 255], [3, 250, 77, 128, 9]),
});
const target = fc.record({ width: fc.integer({ min: 1, max: 30 }), height: fc.integer({ min: 1, max: 30 }) });
const kinds = fc.constantFrom("bicubic" as const, "bilinear" as const);

test("is Pillow's two passes, to the byte", () => {
  fc.assert(
    fc.property(picture, target, kinds, fc.integer(), (shape, to, interpolation, seed) => {
      const { channels, levels, turned } = shape;
      const [width, height] = turned ? [shape.height, shape.width] : [shape.width, shape.height];
      const pick = (i: number) => levels[(Math.imul(i + seed, 2654435761) >>> 16) % levels.length]!;
      const source = {
        width,
        height,
        channels,
        data: Uint8Array.from({ length: width * height * channels }, (_, i) => pick(i)),
      };
      const [columns, rows] = [
        resizeAxis(width, to.width, 0, to.width, interpolation),
        resizeAxis(height, to.height, 0, to.height, interpolation),
      ];
      const shrinksBy = height - to.height;
      const expected =
        shrinksBy > 0 && shrinksBy > 2 * (width - to.width)
          ? pass(pass(source, rows, false), columns, true)
          : pass(pass(source, columns, true), rows, false);
      const actual = resample(
        { ...source, stride: width, left: 0, top: 0 },
        { fullWidth: to.width, fullHeight: to.height, left: 0, top: 0, ...to },
        { interpolation, library: "pillow" },
      );
      expect(Buffer.compare(actual, expected.data)).toBe(0);
    }),
    { numRuns: 300 },
  );
});
