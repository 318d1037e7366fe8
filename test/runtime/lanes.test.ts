import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { input, matmul, softmax } from "../../src/graph/index.js";
import type { Program, TensorData } from "../../src/runtime/index.js";
import { laneRuntime, nodeRuntime } from "../../src/runtime/node.js";

const outputs = {
  y: softmax(matmul(input("x", ["B", 3]), input("weight", [3, 4]))),
};
const weight: TensorData = { data: Float32Array.from({ length: 12 }, (_, i) => Math.sin(i)), shape: [3, 4] };
const constants = new Map([["weight", weight]]);
const batch = (rows: number): TensorData => ({
  data: Float32Array.from({ length: 3 * rows }, (_, i) => Math.cos(i + rows)),
  shape: [rows, 3],
});

describe("a program in lanes", () => {
  let program: Program;
  beforeAll(async () => {
    program = await laneRuntime(2, 1).compile(outputs, { constants });
  });
  afterAll(() => program.dispose());

  test("gives many runs at a time what each gives alone", async () => {
    const alone = await nodeRuntime({ threads: 1 }).compile(outputs, { constants });
    const sizes = [1, 5, 2, 7, 3];
    const together = await Promise.all(sizes.map((rows) => program.run({ x: batch(rows) })));
    for (const [i, rows] of sizes.entries()) {
      expect(together[i]).toEqual(await alone.run({ x: batch(rows) }));
    }
    await alone.dispose();
  });

  test("gives a run to the next lane that is free, not to one that is busy", async () => {
    const finished: string[] = [];
    const runs = [2_000_000, 1, 1, 1].map((rows) =>
      program.run({ x: batch(rows) }).then(() => finished.push(rows > 1 ? "long" : "short")),
    );
    await Promise.all(runs);
    expect(finished).toEqual(["short", "short", "short", "long"]);
  });

  test("writes an output where it is told to, and leaves what it is given to the caller", async () => {
    const x = batch(2);
    const place = { y: { data: new Float32Array(8), shape: [2, 4] } };
    const { y } = await program.run({ x }, place);
    expect(y!.data).toBe(place.y.data);
    expect(place.y.data).toEqual((await program.run({ x })).y!.data);
  });

  test("rejects a run that does not fit, and goes on", async () => {
    await expect(program.run({ x: { data: new Float32Array(4), shape: [1, 4] } })).rejects.toThrow(/3/);
    await expect(program.run({ x: batch(1) })).resolves.toHaveProperty("y");
  });
});

test("a program in lanes that is disposed of rejects what it has not done and what comes later", async () => {
  const program = await laneRuntime(1, 1).compile(outputs, { constants });
  await program.dispose();
  await expect(program.run({ x: batch(1) })).rejects.toThrow("disposed");
});

test("a graph that does not compile is an error of compile, and no thread stays", async () => {
  const short = { data: new Float32Array(2), shape: [3, 4] };
  await expect(laneRuntime(2, 1).compile(outputs, { constants: new Map([["weight", short]]) })).rejects.toThrow();
});
