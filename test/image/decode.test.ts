import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { crc32, deflateSync } from "node:zlib";
import fc from "fast-check";
import sharp, { type Sharp } from "sharp";
import { describe, expect, test } from "vitest";
import { DiptychError } from "../../src/errors.js";
import { decodePicture, writePng } from "../../src/image/node.js";

const pixels = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * i * 7 + i * 31) % 256);
const encoded = (width: number, height: number): Sharp =>
  sharp(pixels(width * height * 3), { raw: { width, height, channels: 3 } });

const refused = async (source: string | Uint8Array, name?: string): Promise<string> => {
  const error = await decodePicture(source, name === undefined ? {} : { name }).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(DiptychError);
  expect((error as DiptychError).code).toBe("UnreadablePicture");
  return (error as DiptychError).message;
};

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length);
  out.set(body, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

function pngOf(
  width: number,
  height: number,
  depth: number,
  colourType: number,
  rows: Uint8Array,
  extra: Buffer[] = [],
): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([depth, colourType], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    ...extra,
    chunk("IDAT", deflateSync(rows)),
    chunk("IEND", new Uint8Array()),
  ]);
}

describe("a picture is opened in the mode of its file", () => {
  test("palette with a transparent entry: colours stay, opacity is kept beside", async () => {
    const palette = [10, 20, 30, 40, 50, 60];
    const extra = [chunk("PLTE", Uint8Array.from(palette)), chunk("tRNS", Uint8Array.of(0))];
    const picture = await decodePicture(pngOf(2, 1, 8, 3, Uint8Array.of(0, 0, 1), extra));
    expect(picture.mode).toBe("P");
    expect([...picture.data]).toEqual(palette);
    expect([...picture.opacity!]).toEqual([0, 255]);
    expect([...picture.palette!]).toEqual(palette);
  });

  test("one bit", async () => {
    const picture = await decodePicture(pngOf(3, 1, 1, 0, Uint8Array.of(0, 0b101_00000)));
    expect(picture).toMatchObject({ mode: "1", width: 3, height: 1 });
    expect([...picture.data]).toEqual([255, 0, 255]);
  });

  test("sixteen bits of grey", async () => {
    const picture = await decodePicture(pngOf(2, 1, 16, 0, Uint8Array.of(0, 0x12, 0x34, 0x01, 0x00)));
    expect(picture.mode).toBe("I;16");
    expect([...picture.data]).toEqual([0x1234, 0x100]);
  });

  test("grey with alpha", async () => {
    const picture = await decodePicture(pngOf(2, 1, 8, 4, Uint8Array.of(0, 9, 0, 200, 128)));
    expect(picture.mode).toBe("LA");
    expect([...picture.data]).toEqual([9, 0, 200, 128]);
  });

  test("bitmaps: bottom row first, rows padded to four bytes", async () => {
    const bmp = Buffer.alloc(54 + 16);
    bmp.write("BM");
    bmp.writeUInt32LE(54, 10);
    bmp.writeUInt32LE(40, 14);
    bmp.writeInt32LE(2, 18);
    bmp.writeInt32LE(2, 22);
    bmp.writeUInt16LE(24, 28);
    bmp.set([1, 2, 3, 4, 5, 6], 54);
    bmp.set([7, 8, 9, 10, 11, 12], 62);
    const picture = await decodePicture(bmp);
    expect(picture.mode).toBe("RGB");
    expect([...picture.data]).toEqual([9, 8, 7, 12, 11, 10, 3, 2, 1, 6, 5, 4]);
    bmp.writeInt32LE(-2, 22);
    expect([...(await decodePicture(bmp)).data].slice(0, 3)).toEqual([3, 2, 1]);
    bmp.writeInt32LE(3, 18);
    expect(await refused(bmp.subarray(0, 69))).toContain("cut short");
    bmp.writeInt32LE(100_000_000, 18);
    expect(await refused(bmp)).toContain("100000000×2");
    expect(await refused(bmp.subarray(0, 40))).toContain("ends within its header");
  });
});

test("EXIF orientation is ignored, as the reference does, unless asked for", async () => {
  const turned = await encoded(4, 2).withMetadata({ orientation: 6 }).png().toBuffer();
  const plain = await decodePicture(turned);
  expect([plain.width, plain.height]).toEqual([4, 2]);
  expect(plain.data).toEqual(pixels(24));
  const upright = await decodePicture(turned, { autoOrient: true });
  expect([upright.width, upright.height]).toEqual([2, 4]);
  // Orientation 6 is turned clockwise to be seen: the lower left pixel comes first.
  expect([...upright.data.subarray(0, 3)]).toEqual([...pixels(24).subarray(12, 15)]);
});

describe("what is no picture is refused", () => {
  test("with its name", async () => {
    expect(await refused("no-such-picture.png")).toContain("no-such-picture.png");
    expect(await refused(new Uint8Array())).toContain("a picture of 0 bytes");
    expect(await refused(Buffer.from("hello, this is text"), "picture 3")).toContain("picture 3");
  });

  test("when it is cut short", async () => {
    for (const format of ["png", "jpeg", "webp", "gif", "tiff"] as const) {
      const bytes = await encoded(40, 40).toFormat(format).toBuffer();
      for (const part of [0.1, 0.5, 0.9]) await refused(bytes.subarray(0, Math.floor(bytes.length * part)));
    }
  });

  test("when it claims 100,000 × 100,000 pixels, or as many as its format can, without taking the memory", async () => {
    const before = process.memoryUsage().rss;
    await refused(pngOf(100_000, 100_000, 8, 2, new Uint8Array(64)));

    const jpeg = await encoded(9, 7).jpeg().toBuffer();
    const frame = jpeg.indexOf(Uint8Array.of(0xff, 0xc0)); // its header: length, depth, height, width
    jpeg.writeUInt16BE(65_500, frame + 5);
    jpeg.writeUInt16BE(65_500, frame + 7);
    expect(await refused(jpeg)).toContain("pixel limit");

    const tiff = await encoded(9, 7).tiff({ compression: "none" }).toBuffer();
    const directory = tiff.readUInt32LE(4);
    for (let entry = 0; entry < tiff.readUInt16LE(directory); entry++) {
      const at = directory + 2 + 12 * entry;
      if (![256, 257].includes(tiff.readUInt16LE(at))) continue; // width, height
      tiff.writeUInt16LE(4, at + 2); // as a 32-bit number
      tiff.writeUInt32LE(100_000, at + 8);
    }
    await refused(tiff);
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
  });

  test("whatever the bytes are", async () => {
    const whole = await Promise.all(
      (["png", "gif", "jpeg", "webp"] as const).map((f) => encoded(9, 7).toFormat(f).toBuffer()),
    );
    const damaged = fc
      .record({
        base: fc.constantFrom(...whole),
        at: fc.nat(400),
        bytes: fc.uint8Array({ maxLength: 8 }),
        end: fc.nat(800),
      })
      .map(({ base, at, bytes, end }) => {
        const copy = Uint8Array.from(base);
        copy.set(bytes.subarray(0, Math.max(0, copy.length - at)), Math.min(at, copy.length));
        return copy.subarray(0, end);
      });
    const bitmap = fc.uint8Array({ maxLength: 90 }).map((bytes) => Uint8Array.of(0x42, 0x4d, ...bytes));
    await fc.assert(
      fc.asyncProperty(fc.oneof(damaged, bitmap, fc.uint8Array()), async (bytes) => {
        const outcome = await decodePicture(bytes).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(DiptychError);
      }),
      { numRuns: 300 },
    );
  });
});

test("a crop that is written comes back, and nothing else is left in the folder", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "diptych-"));
  const file = path.join(folder, "crop.png");
  await writeFile(file, "older");
  await writePng(file, pixels(5 * 4 * 3), 5, 4);
  expect((await decodePicture(file)).data).toEqual(pixels(60));
  expect(await readdir(folder)).toEqual(["crop.png"]);
});
