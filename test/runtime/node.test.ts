import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  add,
  gather,
  input,
  matmul,
  mul,
  range,
  scatterRows,
  softmax,
  sum,
  type Tensor,
} from "../../src/graph/index.js";
import { randomStream } from "../../src/image/index.js";
import type { Program, TensorData } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";

const runtime = nodeRuntime({ threads: 2 });
const floats = (shape: readonly number[], ...values: number[]): TensorData => ({
  data: Float32Array.from(values),
  shape,
});
const random = (shape: readonly number[], seed: number): TensorData => {
  const next = randomStream([seed]);
  const size = shape.reduce((a, b) => a * b, 1);
  return { data: Float32Array.from({ length: size }, () => 2 * next() - 1), shape };
};

describe("a program", () => {
  const x = input("x", ["B", 2]);
  const weight = input("weight", [2, 2]);
  let program: Program;
  beforeAll(async () => {
    program = await runtime.compile({ product: matmul(x, weight), twice: mul(x, 2) });
  });
  afterAll(() => program.dispose());

  const identity = floats([2, 2], 1, 0, 0, 1);

  test("runs with any size of a dimension that is a symbol", async () => {
    for (const rows of [1, 5, 3]) {
      const feed = random([rows, 2], rows);
      const { product, twice } = await program.run({ x: feed, weight: identity });
      expect(product).toEqual(feed);
      expect(twice!.shape).toEqual([rows, 2]);
    }
  });

  test("writes into the arrays it is given, which may be views, and makes the others anew", async () => {
    const arena = new Float32Array(8).fill(7);
    const into = { data: arena.subarray(2, 6), shape: [2, 2] };
    const feed = floats([2, 2], 1, 2, 3, 4);
    const { twice, product } = await program.run({ x: feed, weight: identity }, { product: into });
    expect([...arena]).toEqual([7, 7, 1, 2, 3, 4, 7, 7]);
    expect([...(product!.data as Float32Array)]).toEqual([1, 2, 3, 4]);
    expect([...(twice!.data as Float32Array)]).toEqual([2, 4, 6, 8]);
    const again = await program.run({ x: floats([1, 2], 9, 9), weight: identity });
    expect([...(twice!.data as Float32Array)]).toEqual([2, 4, 6, 8]);
    expect([...(again.twice!.data as Float32Array)]).toEqual([18, 18]);
  });

  test("may write an output over one of its inputs", async () => {
    const both = floats([2, 2], 1, 2, 3, 4);
    await program.run({ x: both, weight: identity }, { twice: both });
    expect([...(both.data as Float32Array)]).toEqual([2, 4, 6, 8]);
  });

  test("copies nothing when everything that it makes has an array, and rejects as it would", async () => {
    const rows = 1 << 18;
    const room = () => ({ data: new Float32Array(2 * rows), shape: [rows, 2] });
    const [feed, into] = [random([rows, 2], 1), { product: room(), twice: room() }];
    const before = process.memoryUsage().arrayBuffers;
    const results = await program.run({ x: feed, weight: identity }, into);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1e5);
    expect(results.product!.data).toBe(into.product.data);
    expect(into.product.data).toEqual(feed.data);
    expect(into.twice.data[5]).toBe(2 * Number(feed.data[5]));
    await expect(program.run({ x: feed }, into)).rejects.toThrow("weight");
    await expect(program.run({ x: floats([1, 3], 1, 2, 3), weight: identity }, into)).rejects.toThrow("x");
    await expect(program.run({ x: floats([1, 2], 1, 2), weight: identity }, into)).rejects.toThrow(/shape/i);
  });

  test("takes feeds of which it has no use, and rejects when one is missing or misshapen", async () => {
    const feed = floats([1, 2], 1, 2);
    await expect(program.run({ x: feed, weight: identity, unused: feed })).resolves.toBeDefined();
    await expect(program.run({ x: feed })).rejects.toThrow("weight");
    await expect(program.run({ x: floats([1, 3], 1, 2, 3), weight: identity })).rejects.toThrow("x");
  });

  test("with constants bound gives what it gives when they are fed", async () => {
    const bound = random([2, 2], 1);
    const feed = random([3, 2], 2);
    const fixed = await runtime.compile({ product: matmul(x, weight) }, { constants: new Map([["weight", bound]]) });
    const fed = await program.run({ x: feed, weight: bound });
    expect((await fixed.run({ x: feed })).product).toEqual(fed.product);
    await fixed.dispose();
  });

  test("keeps integers integers", async () => {
    const ids = input("ids", ["B"], "int32");
    const table = input("table", [3, 1]);
    const counted = await runtime.compile({ rows: gather(table, ids), places: range("B") });
    const { rows, places } = await counted.run({
      ids: { data: Int32Array.of(2, 0, 2), shape: [3] },
      table: floats([3, 1], 10, 11, 12),
    });
    expect([...(rows!.data as Float32Array)]).toEqual([12, 10, 12]);
    expect(places!.data).toEqual(BigInt64Array.of(0n, 1n, 2n));
    await counted.dispose();
  });

  test("cannot run after it was disposed of", async () => {
    const other = await runtime.compile({ twice: mul(x, 2) });
    await other.dispose();
    await expect(other.run({ x: identity })).rejects.toThrow();
  });
});

describe("over several threads, equal runs are equal bit for bit", () => {
  const runs = 12;
  async function repeated(outputs: Record<string, Tensor>, feeds: Record<string, TensorData>): Promise<Set<string>> {
    const program = await runtime.compile(outputs);
    const seen = new Set<string>();
    for (let i = 0; i < runs; i++) {
      const { out } = await program.run(feeds);
      const { buffer, byteOffset, byteLength } = out!.data as Float32Array;
      seen.add(Buffer.from(buffer, byteOffset, byteLength).toString("base64"));
    }
    await program.dispose();
    return seen;
  }

  test("rows scattered with many duplicate ids, and the sums are right", async () => {
    const [count, rows, width] = [5, 20_000, 24];
    const next = randomStream([1]);
    const ids = Int32Array.from({ length: rows }, () => Math.floor(count * next()));
    const values = random([rows, width], 2);
    const out = scatterRows(input("ids", ["N"], "int32"), input("rows", ["N", width]), count);
    const seen = await repeated({ out }, { ids: { data: ids, shape: [rows] }, rows: values });
    expect(seen.size).toBe(1);
    const expected = new Float64Array(count * width);
    for (const [i, id] of ids.entries()) {
      for (let j = 0; j < width; j++) expected[id * width + j]! += values.data[i * width + j] as number;
    }
    const bytes = Buffer.from([...seen][0]!, "base64");
    const actual = new Float32Array(new Uint8Array(bytes).buffer);
    expect(actual.every((value, i) => Math.abs(value - expected[i]!) < 1e-2)).toBe(true);
  });

  test("products, sums and softmax", async () => {
    const [x, w] = [input("x", ["B", 300]), input("w", [300, 200])];
    const rows = softmax(matmul(x, w));
    const out = add(rows, sum(rows, [0]));
    const seen = await repeated({ out }, { x: random([400, 300], 3), w: random([300, 200], 4) });
    expect(seen.size).toBe(1);
  });
});
