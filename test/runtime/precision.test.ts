import { expect, test } from "vitest";
import { input, matmul, printGraph } from "../../src/graph/index.js";
import { largestExactWeight, type Runtime, withPrecision } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";

/** A machine that gives so much for each of a product's 192 sums of ones. */
const giving = (sum: number): Runtime => ({
  name: "a machine",
  compile: async () => ({
    run: async () => ({ y: { data: new Float32Array(256 * 192).fill(sum), shape: [256, 192] } }),
    dispose: async () => {},
  }),
});

test("weights have 8 bits where products are summed exactly, 7 where sums of pairs overflow", async () => {
  expect(await largestExactWeight(giving(192.0001))).toBe(127);
  expect(await largestExactWeight(giving((192 * (32767 / 2 - 128 * 127)) / 127 ** 2))).toBe(63);
  expect([127, 63]).toContain(await largestExactWeight(nodeRuntime({ threads: 1 })));
});

test("a program in fp32 is left as it is, one in int8 multiplies integers", async () => {
  const outputs = { y: matmul(input("x", ["B", 192]), input("weight", [192, 192])) };
  expect(await withPrecision("fp32", outputs, ["weight"], giving(192))).toBe(outputs);
  const quantised = await withPrecision("int8", outputs, ["weight"], giving(0));
  expect(printGraph(quantised)).toContain("integerMatmul");
  expect(printGraph(quantised)).toContain("largest=63");
});
