import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ClipConfig, contrastiveModel } from "../../src/clip/index.js";
import {
  add,
  gradient,
  input,
  matmul,
  mul,
  printGraph,
  quantise,
  sigmoid,
  simplify,
  standardise,
  sum,
  type Tensor,
} from "../../src/graph/index.js";
import { largestWeight } from "./exactWeights.js";
import { difference, runOnnx, valuesFor } from "./feeds.js";
import { evaluate, type Values } from "./reference.js";

const parameters = new Set(["weight", "bias", "other"]);
const rows = input("x", ["B", 192]);
const weight = input("weight", [192, 192]);
const bias = input("bias", [192]);

const feeds = (seed: number): Record<string, Values> => ({
  x: valuesFor({ shape: ["B", 192], kind: "real" }, seed),
  weight: valuesFor({ shape: [192, 192], kind: "real" }, seed + 1),
  bias: valuesFor({ shape: [192], kind: "real" }, seed + 2),
});

const linesOf = (outputs: Readonly<Record<string, Tensor>>, operator: string) =>
  printGraph(simplify(quantise(outputs, { parameters })))
    .split("\n")
    .filter((line) => line.includes(` = ${operator}(`));

const largest = (values: Values) => values.data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);

describe("a quantised product", () => {
  const options = fc.record({ transposeB: fc.boolean(), scale: fc.constantFrom(1, 0.5), plus: fc.boolean() });

  test.each([
    ["a step for each row", rows],
    ["one step for rows of one length", standardise(rows)],
  ])("with %s is within what rounding explains, in the reference and in ONNX Runtime", async (_, x) => {
    await fc.assert(
      fc.asyncProperty(options, fc.nat(1e6), async ({ plus, ...given }, seed) => {
        const y = matmul(x, weight, { ...given, ...(plus && { plus: bias }) });
        const exact = evaluate({ x, y }, feeds(seed));
        const quantised = quantise({ y }, { parameters, largestWeight });
        // |x̂ŵ − xw| ≤ |x|·step of w / 2 + |w|·step of x / 2 + both / 4, summed over the inner dimension
        const [steps, most] = [largest(exact.x!) / 127, largest(feeds(seed).weight!)];
        const weightSteps = most / largestWeight;
        const each = (steps / 2) * most + (weightSteps / 2) * largest(exact.x!) + (steps * weightSteps) / 4;
        const bound = (192 * each * given.scale) / Math.max(1, largest(exact.y!));
        // Uniform numbers of ± c rounded to n integers on each side: (c/n)/√12 of c/√3, and both factors are rounded.
        const usual = Math.hypot(1 / 127, 1 / largestWeight) / 2;
        const reference = evaluate(quantised, feeds(seed)).y!;
        expect(difference(reference, exact.y!)).toBeLessThan(bound);
        for (const form of ["fast", "portable"] as const) {
          const { y: actual } = await runOnnx(quantised, [rows, weight, bias], feeds(seed), form);
          expect(difference(actual!, exact.y!)).toBeLessThan(bound);
          expect(relativeError(actual!, exact.y!)).toBeLessThan(1.8 * usual);
        }
      }),
      { numRuns: 3 },
    );
  });

  test("of rows of zeros is the bias", async () => {
    const zeros: Record<string, Values> = { ...feeds(1), x: { shape: [3, 192], data: new Float64Array(3 * 192) } };
    const outputs = quantise({ y: matmul(rows, weight, { plus: bias }) }, { parameters, largestWeight });
    const { y } = await runOnnx(outputs, [rows, weight, bias], zeros, "fast");
    expect([...y!.data]).toEqual([1, 2, 3].flatMap(() => [...zeros.bias!.data]));
  });

  test("keeps weights within the integers it is told", () => {
    const [line] = printGraph(quantise({ y: matmul(rows, weight) }, { parameters, largestWeight: 63 }))
      .split("\n")
      .filter((line) => line.includes("step(weight"));
    expect(line).toContain("largest=63");
  });
});

describe("quantise", () => {
  test("rounds a weight once for each direction and rows once for all their products", () => {
    const again = mul(weight, input("other", [192]));
    const x = sigmoid(rows);
    const y = add(mul(matmul(x, weight), matmul(x, again)), matmul(x, weight, { transposeB: true }));
    expect(linesOf({ y }, "integerMatmul")).toHaveLength(3);
    expect(linesOf({ y }, "round").map((line) => line.replace(/^.*to=(\w+)\).*$/, "$1"))).toEqual(
      expect.arrayContaining(["uint8", "int8", "int8", "int8"]),
    );
    expect(linesOf({ y }, "round")).toHaveLength(4);
  });

  test("takes the gradient of the rows in integers too, that of the weight not", () => {
    const y = sigmoid(matmul(rows, weight, { transposeB: true }));
    const [dx, dWeight] = gradient(sum(mul(y, y), [0, 1]), [rows, weight]) as [Tensor, Tensor];
    expect(linesOf({ y, dx, dWeight }, "integerMatmul")).toHaveLength(2);
    expect(linesOf({ y, dx, dWeight }, "matmul").join()).toContain("transposeA");
  });

  test.each([
    ["of two that depend on data", () => matmul(rows, input("texts", ["M", 192]), { transposeB: true })],
    ["of few rows", () => matmul(input("few", [16, 192]), weight)],
    ["of small weights", () => matmul(input("x", ["B", 64]), input("weight", [64, 512]))],
    ["of batches", () => matmul(input("heads", ["B", 8, 256, 192]), weight)],
  ])("leaves products %s alone", (_, make) => {
    expect(linesOf({ y: make() }, "integerMatmul")).toEqual([]);
  });

  test("changes a model's loss and gradients by little", async () => {
    const config: ClipConfig = {
      embedSize: 192,
      activation: "quick_gelu",
      image: { kind: "vit", imageSize: 32, patchSize: 8, width: 192, layers: 2, heads: 3, mlpWidth: 384 },
      text: { contextLength: 16, vocabularySize: 50, width: 192, layers: 2, heads: 3, mlpWidth: 384 },
    };
    const model = contrastiveModel(config, { batch: 16, length: 16, training: true });
    const names = [...model.parameters.keys()];
    const gradients = gradient(model.loss, [...model.parameters.values()]);
    const outputs = { loss: model.loss, ...Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i]!])) };
    const inputs = [
      input("pixels", [16, 3, 32, 32]),
      input("ids", [16, 16], "int32"),
      input("group", [16], "int32"),
      ...model.parameters.values(),
    ];
    const given = Object.fromEntries(
      inputs.map((tensor, i) => {
        const { name } = tensor.attributes as { readonly name: string };
        const kind = name === "ids" ? 50 : name === "group" ? 100 : "real";
        const { shape, data } = valuesFor({ shape: tensor.shape, kind }, i);
        const factor = kind !== "real" || name === "pixels" ? 1 : tensor.shape.length > 1 ? 0.06 : 0.5;
        return [name, { shape, data: data.map((v) => v * factor) }];
      }),
    );
    const exact = await runOnnx(simplify(outputs), inputs, given, "fast");
    const quantised = simplify(quantise(outputs, { parameters: new Set(names), largestWeight }));
    expect(printGraph(quantised)).toContain("integerMatmul");
    const actual = await runOnnx(quantised, inputs, given, "fast");
    expect(Math.abs(actual.loss!.data[0]! / exact.loss!.data[0]! - 1)).toBeLessThan(0.01);
    const errors = names.map((name) => relativeError(actual[`d ${name}`]!, exact[`d ${name}`]!)).sort((a, b) => a - b);
    expect(errors[errors.length >> 1]).toBeLessThan(0.2);
  });
});

/** ‖actual − expected‖ / ‖expected‖ */
function relativeError(actual: Values, expected: Values): number {
  const norm = (values: Float64Array) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
  return norm(actual.data.map((v, i) => v - expected.data[i]!)) / norm(expected.data);
}
