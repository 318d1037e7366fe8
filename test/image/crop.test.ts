import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  augmentPicture,
  channelsOf,
  cropPicture,
  normalise,
  openaiPreprocess,
  type Picture,
  type PictureMode,
  preprocessSchema,
  randomStream,
} from "../../src/image/index.js";

/** A picture drawn by a formula: the same in Python gave the numbers below (Pillow 13.0.0). */
function drawn<Mode extends Exclude<PictureMode, "I;16">>(mode: Mode, width: number, height: number): Picture {
  const channels = channelsOf[mode];
  const at = (x: number, y: number, c: number): number => (37 * x * x + 91 * y + 53 * c * x * y) % 256;
  const data = Uint8Array.from({ length: width * height * channels }, (_, i) => {
    const pixel = Math.floor(i / channels);
    return at(pixel % width, Math.floor(pixel / width), i % channels);
  });
  return { mode, width, height, data };
}

const squash = (height: number, width: number) => ({
  ...openaiPreprocess(1),
  size: [height, width] as [number, number],
  resize: "squash" as const,
});

describe("resizing gives Pillow's bytes", () => {
  test("making a picture smaller", () => {
    expect([...cropPicture(drawn("RGB", 5, 4), squash(2, 3))]).toEqual([
      78, 79, 95, 150, 97, 175, 112, 92, 113, 120, 124, 129, 121, 113, 139, 62, 137, 88,
    ]);
  });

  test("making it larger", () => {
    expect([...cropPicture(drawn("RGB", 5, 4), squash(5, 6))]).toEqual([
      0, 0, 0, 17, 15, 13, 107, 110, 107, 124, 130, 124, 69, 73, 68, 76, 78, 80, 58, 56, 55, 79, 131, 156, 181, 132,
      185, 207, 91, 191, 150, 79, 171, 157, 112, 78, 151, 154, 150, 184, 137, 205, 176, 72, 235, 126, 44, 225, 82, 88,
      167, 89, 154, 80, 141, 144, 141, 177, 112, 149, 131, 88, 181, 53, 66, 151, 14, 90, 83, 20, 195, 86, 9, 2, 6, 30,
      172, 97, 128, 252, 65, 150, 158, 12, 94, 83, 35, 101, 229, 91,
    ]);
  });

  test("bilinear", () => {
    expect([...cropPicture(drawn("RGB", 5, 4), { ...squash(2, 2), interpolation: "bilinear" })]).toEqual([
      107, 90, 126, 122, 95, 135, 120, 122, 133, 86, 120, 108,
    ]);
  });

  test("alpha is multiplied in before and divided out after", () => {
    expect([...cropPicture(drawn("RGBA", 4, 3), squash(2, 2))]).toEqual([
      93, 100, 100, 150, 112, 153, 159, 139, 180, 68, 48, 197,
    ]);
  });

  test("sixteen bits are resized as such, then clipped", () => {
    const data = Uint16Array.from({ length: 12 }, (_, i) => {
      const [x, y] = [i % 4, Math.floor(i / 4)];
      return (7919 * x * x + 91 * y + 53 * x * y) % 700;
    });
    const crop = cropPicture({ mode: "I;16", width: 4, height: 3, data }, squash(2, 2));
    expect([...crop]).toEqual([147, 147, 147, 255, 255, 255, 255, 255, 255, 255, 255, 255]);
  });

  test("columns go first where the height shrinks much more than the width", () => {
    const data = Uint8Array.from({ length: 36 }, (_, i) => {
      const [x, y] = [i % 3, Math.floor(i / 3)];
      return (37 * x * x + 91 * y + 53 * x * y) % 256;
    });
    const crop = cropPicture({ mode: "L", width: 3, height: 12, data }, squash(3, 2));
    // Rows first would give 126 for the third pixel.
    expect([...crop.filter((_, i) => i % 3 === 0)]).toEqual([100, 122, 125, 148, 135, 110]);
  });
});

const side = fc.integer({ min: 1, max: 24 });
const pictures = fc
  .record({ width: side, height: side, seed: fc.integer() })
  .map(({ width, height, seed }): Picture => {
    const random = randomStream([seed]);
    return { mode: "RGB", width, height, data: Uint8Array.from({ length: width * height * 3 }, () => random() * 256) };
  });
const configs = fc.record({
  size: fc.tuple(side, side),
  interpolation: fc.constantFrom("bicubic" as const, "bilinear" as const),
  resize: fc.constantFrom("shortest" as const, "squash" as const, "longest" as const),
  fill: fc.integer({ min: 0, max: 255 }),
  convention: fc.constantFrom("torchvision" as const, "transformers" as const),
});
const complete = (part: object) => ({ ...openaiPreprocess(1), ...part });

function mirrored(data: Uint8Array, width: number): Uint8Array {
  return data.map((_, i) => {
    const [row, x, c] = [Math.floor(i / 3 / width), Math.floor(i / 3) % width, i % 3];
    return data[(row * width + width - 1 - x) * 3 + c]!;
  });
}

describe("for any picture and config", () => {
  test("the crop has the size that was asked for", () => {
    fc.assert(
      fc.property(pictures, configs, (picture, config) => {
        expect(cropPicture(picture, complete(config))).toHaveLength(config.size[0] * config.size[1] * 3);
      }),
    );
  });

  test("resizing to its own size returns the picture", () => {
    fc.assert(
      fc.property(pictures, (picture) => {
        expect(cropPicture(picture, squash(picture.height, picture.width))).toEqual(picture.data);
      }),
    );
  });

  test("a picture of one colour keeps it", () => {
    fc.assert(
      fc.property(pictures, configs, fc.integer({ min: 0, max: 255 }), (picture, config, value) => {
        const plain: Picture = { ...picture, mode: "RGB", data: new Uint8Array(picture.data.length).fill(value) };
        const crop = cropPicture(plain, complete({ ...config, fill: value }));
        expect(crop.every((x) => x === value)).toBe(true);
      }),
    );
  });

  test("mirroring before and after resizing is the same, but for the last rounding", () => {
    fc.assert(
      fc.property(pictures, side, side, (picture, height, width) => {
        const flippedFirst = cropPicture(
          { ...picture, mode: "RGB", data: mirrored(picture.data as Uint8Array, picture.width) },
          squash(height, width),
        );
        const flippedLast = mirrored(cropPicture(picture, squash(height, width)), width);
        for (const [i, value] of flippedFirst.entries())
          expect(Math.abs(value - flippedLast[i]!)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test("each channel is resized as a grey picture of its own would be", () => {
    fc.assert(
      fc.property(pictures, side, side, fc.constantFrom(0, 1, 2), (picture, height, width, c) => {
        const channel = (data: Uint8Array) => data.filter((_, i) => i % 3 === c);
        const { width: w, height: h } = picture;
        const grey: Picture = { mode: "L", width: w, height: h, data: channel(picture.data as Uint8Array) };
        const target = squash(height, width);
        expect(channel(cropPicture(picture, target))).toEqual(channel(cropPicture(grey, target)));
      }),
    );
  });

  test("a part of the result equals that part of the whole", () => {
    fc.assert(
      fc.property(pictures, side, (picture, size) => {
        fc.pre(picture.width > picture.height);
        const wide = Math.trunc((size * picture.width) / picture.height);
        const whole = cropPicture(picture, squash(size, wide));
        const crop = cropPicture(picture, { ...openaiPreprocess(size), convention: "transformers" });
        const left = Math.floor((wide - size) / 2);
        for (let y = 0; y < size; y++) {
          const from = (y * wide + left) * 3;
          expect(crop.subarray(y * size * 3, (y + 1) * size * 3)).toEqual(whole.subarray(from, from + size * 3));
        }
      }),
    );
  });
});

describe("augmentation", () => {
  const picture = drawn("RGB", 40, 30);
  const config = openaiPreprocess(16);

  test("is a function of the seed", () => {
    const crop = (index: number) =>
      augmentPicture(picture, config, { scale: [0.3, 1], flip: true }, randomStream([7, 0, index]));
    expect(crop(3)).toEqual(crop(3));
    expect(crop(4)).not.toEqual(crop(3));
  });

  test("mirrors about every second crop", () => {
    const scale: [number, number] = [0.5, 0.9];
    let flips = 0;
    for (let index = 0; index < 200; index++) {
      const straight = augmentPicture(picture, config, { scale, flip: false }, randomStream([index]));
      const perhaps = augmentPicture(picture, config, { scale, flip: true }, randomStream([index]));
      if (Buffer.compare(straight, perhaps) === 0) continue;
      expect(perhaps).toEqual(mirrored(straight, 16));
      flips++;
    }
    expect(flips).toBeGreaterThan(70);
    expect(flips).toBeLessThan(130);
  });

  test("takes the whole of a picture whose ratio is allowed, when no smaller part is", () => {
    const square = drawn("RGB", 21, 21);
    const whole = cropPicture(square, squash(16, 16));
    // Uniform numbers of one half: the middle ratio, 1, of all the area.
    expect(augmentPicture(square, config, { scale: [1, 1], flip: false }, () => 0.5)).toEqual(whole);
  });

  test("falls back to a centred part of a picture that is too thin for any try", () => {
    const thin = drawn("RGB", 300, 3);
    const crop = augmentPicture(thin, config, { scale: [1, 1], flip: false }, randomStream([1]));
    const centre = { ...thin, width: 4, data: new Uint8Array(36) } as Picture;
    for (let y = 0; y < 3; y++)
      (centre.data as Uint8Array).set(
        (thin.data as Uint8Array).subarray((y * 300 + 148) * 3, (y * 300 + 152) * 3),
        y * 12,
      );
    expect(crop).toEqual(cropPicture(centre, squash(16, 16)));
  });
});

describe("normalised pixels", () => {
  test("are channels first, (x / 255 − mean) / std", () => {
    const config = { ...openaiPreprocess(1), size: [1, 2] as [number, number] };
    const pixels = normalise([Uint8Array.of(0, 51, 255, 102, 153, 204)], config);
    const expected = [0, 102, 51, 153, 255, 204].map((x, i) => {
      const c = Math.floor(i / 2);
      return (x / 255 - config.mean[c]!) / config.std[c]!;
    });
    expect(pixels).toHaveLength(6);
    for (const [i, value] of pixels.entries()) expect(value).toBeCloseTo(expected[i]!, 6);
  });

  test("go into the array that is given, whose length is checked", () => {
    const config = openaiPreprocess(2);
    const out = new Float32Array(24);
    expect(normalise([new Uint8Array(12), new Uint8Array(12)], config, out)).toBe(out);
    expect(() => normalise([new Uint8Array(12)], config, out)).toThrow(RangeError);
    expect(() => normalise([new Uint8Array(13)], config)).toThrow(RangeError);
  });
});

test("a config has defaults for padding and convention, and refuses unknown keys", () => {
  const { fill, convention, ...required } = openaiPreprocess(224);
  expect(preprocessSchema.parse(required)).toEqual(openaiPreprocess(224));
  expect([fill, convention]).toEqual([0, "torchvision"]);
  expect(preprocessSchema.safeParse({ ...required, resample: 3 }).success).toBe(false);
});

describe("random streams", () => {
  test("are uniform", () => {
    const random = randomStream([1, 2, 3]);
    const bins = new Array<number>(16).fill(0);
    for (let i = 0; i < 16_000; i++) bins[Math.floor(random() * 16)]!++;
    for (const count of bins) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  test("differ for neighbouring, swapped and very large seeds", () => {
    const seeds = [[], [0], [0, 0], [0, 1], [1, 0], [2 ** 32], [2 ** 32 + 1], [1, 2, 3], [1, 2, 4], [3, 2, 1]];
    expect(new Set(seeds.map((seed) => randomStream(seed)())).size).toBe(seeds.length);
  });
});
