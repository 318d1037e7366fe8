import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memorySource } from "../../src/checkpoint/source.js";
import { narrowToBfloat, narrowToHalf, readTensor, type StorageType } from "../../src/checkpoint/storage.js";

async function widen(type: StorageType, numbers: ArrayBufferView, count: number): Promise<Float32Array> {
  const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  const tensor = { name: "x", shape: [count], type, source: memorySource("memory", bytes), position: 0 };
  return (await readTensor(tensor)).data;
}

/** IEEE 754's definition of a half, in arithmetic. */
function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const everyBits = Uint16Array.from({ length: 65536 }, (_, i) => i);

describe("number formats", () => {
  test("every half is widened to its value and narrowed back to its bits", async () => {
    const floats = await widen("F16", everyBits, 65536);
    expect(floats).toEqual(Float32Array.from(everyBits, halfValue));
    const back = new Uint16Array(65536);
    narrowToHalf(floats, back);
    const changed = everyBits.filter((bits, i) => back[i] !== bits && !Number.isNaN(halfValue(bits)));
    expect(changed).toHaveLength(0);
  });

  test("every bfloat16 is widened and narrowed back to its bits", async () => {
    const floats = await widen("BF16", everyBits, 65536);
    const back = new Uint16Array(65536);
    narrowToBfloat(floats, back);
    expect(everyBits.filter((bits, i) => back[i] !== bits && !Number.isNaN(floats[i]))).toHaveLength(0);
    expect(floats[0x3fc0]).toBe(1.5);
  });

  test("narrowing picks the nearest representable number, ties to even", async () => {
    const halves = (await widen("F16", everyBits.subarray(0, 0x7c00), 0x7c00)) as Float32Array;
    fc.assert(
      fc.property(fc.float({ min: 0, max: 65504, noNaN: true }), (x) => {
        const to = new Uint16Array(1);
        narrowToHalf(Float32Array.of(x), to);
        const [below, here, above] = [-1, 0, 1].map((step) => Math.abs((halves[to[0]! + step] ?? 1e9) - x));
        const tie = here === below || here === above;
        return here! <= below! && here! <= above! && (!tie || to[0]! % 2 === 0);
      }),
    );
    const to = new Uint16Array(2);
    narrowToBfloat(Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8), to);
    expect([...to]).toEqual([0x3f80, 0x3f82]);
  });

  test("integers, doubles and bytes become floats", async () => {
    expect([...(await widen("I64", BigInt64Array.of(-5n, 77n), 2))]).toEqual([-5, 77]);
    expect([...(await widen("F64", Float64Array.of(0.5, -3), 2))]).toEqual([0.5, -3]);
    expect([...(await widen("U8", Uint8Array.of(0, 255), 2))]).toEqual([0, 255]);
    expect([...(await widen("I32", Int32Array.of(-1, 1 << 20), 2))]).toEqual([-1, 1 << 20]);
  });

  test("a tensor longer than one chunk is read whole, at any offset", async () => {
    const count = 1_300_001;
    const words = Uint16Array.from({ length: count + 1 }, (_, i) => i % 0x7c00);
    const bytes = new Uint8Array(words.buffer);
    const tensor = { name: "x", shape: [count], type: "F16", source: memorySource("m", bytes), position: 2 } as const;
    const { data } = await readTensor(tensor);
    const wrong = data.findIndex((x, i) => x !== halfValue(words[i + 1]!));
    expect(wrong).toBe(-1);
  });

  test("strides give a transposed view row by row", async () => {
    const bytes = new Uint8Array(Float32Array.of(9, 1, 2, 3, 4, 5, 6).buffer);
    const source = memorySource("m", bytes);
    const { data } = await readTensor({ name: "x", shape: [3, 2], strides: [1, 3], type: "F32", source, position: 4 });
    expect([...data]).toEqual([1, 4, 2, 5, 3, 6]);
  });
});
