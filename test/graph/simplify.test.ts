import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ClipConfig, contrastiveModel } from "../../src/clip/index.js";
import {
  add,
  concat,
  div,
  expand,
  gradient,
  input,
  layerNorm,
  matmul,
  mul,
  neg,
  onnxModel,
  printGraph,
  reshape,
  sigmoid,
  simplify,
  slice,
  softmax,
  sub,
  sum,
  type Tensor,
  transpose,
  withGradient,
} from "../../src/graph/index.js";
import { reachable } from "../../src/graph/tensor.js";
import { difference, runOnnx, valuesFor } from "./feeds.js";
import { evaluate, type Values } from "./reference.js";

const x = input("x", ["B", 4]);
const y = input("y", ["B", 4]);
const square = input("square", [4, 4]);

/** How a graph grows: each takes tensors `["B", 4]` and gives one. Between them they meet every rule of `simplify`. */
const growths: readonly ((a: Tensor, b: Tensor) => Tensor)[] = [
  add,
  sub,
  mul,
  (a, b) => div(a, add(mul(b, b), 1)),
  (a) => neg(a),
  (a, b) => add(a, neg(b)),
  (a) => mul(mul(a, 0.5), 3),
  (a) => mul(a, 1),
  (a) => matmul(a, square, { scale: 0.5 }),
  (a) => mul(matmul(a, transpose(square, [1, 0])), 0.25),
  (a, b) => add(matmul(a, square), b),
  (a, b) => matmul(softmax(matmul(a, b, { transposeB: true })), b),
  (a) => matmul(transpose(transpose(a, [1, 0]), [1, 0]), square, { transposeB: true }),
  (a, b) => add(a, expand(sum(b, [1]), ["B", 4])),
  (a) => reshape(reshape(a, ["B", 2, 2]), ["B", 4]),
  (a, b) => concat([slice(a, 1, 0, 2), slice(b, 1, 2, 4)], 1),
  (a) =>
    sum(reshape(a, ["B", 1, 4]), [1]).shape.length === 3 ? reshape(sum(reshape(a, ["B", 1, 4]), [1]), ["B", 4]) : a,
  (a) => withGradient(mul(a, sigmoid(a)), a, (dy) => mul(dy, 2)),
];

/** The recipe of a random graph: at each step a growth and the two tensors so far that it takes. */
const graphs = fc.array(fc.tuple(fc.nat(growths.length - 1), fc.nat(20), fc.nat(20)), { minLength: 1, maxLength: 12 });

function grown(steps: readonly (readonly [number, number, number])[]): Record<string, Tensor> {
  const tensors: Tensor[] = [x, y];
  for (const [i, a, b] of steps) tensors.push(growths[i]!(tensors[a % tensors.length]!, tensors[b % tensors.length]!));
  const last = tensors.at(-1)!;
  const [dx, dy, dSquare] = gradient(sum(mul(last, last), [0, 1]), [x, y, square]) as [Tensor, Tensor, Tensor];
  return { last, before: tensors.at(-2)!, dx, dy, dSquare, x, y };
}

const small = (seed: number): Record<string, Values> =>
  Object.fromEntries(
    [x, y, square].map((tensor, i) => {
      const { name } = tensor.attributes as { readonly name: string };
      const { shape, data } = valuesFor({ shape: tensor.shape, kind: "real" }, seed + i);
      return [name, { shape, data: data.map((v) => v / 4) }];
    }),
  );

const sizeOf = (outputs: Readonly<Record<string, Tensor>>) => reachable(Object.values(outputs)).length;
const worst = (actual: Record<string, Values>, expected: Record<string, Values>) =>
  Math.max(...Object.keys(expected).map((name) => difference(actual[name]!, expected[name]!)));

describe("simplify", () => {
  test("changes no value of a random graph and its gradients, makes it no larger, and has nothing left to do", () => {
    fc.assert(
      fc.property(graphs, fc.nat(1e6), (steps, seed) => {
        const outputs = grown(steps);
        const simplified = simplify(outputs);
        const feeds = small(seed);
        expect(worst(evaluate(simplified, feeds), evaluate(outputs, feeds))).toBeLessThan(1e-9);
        expect(sizeOf(simplified)).toBeLessThanOrEqual(sizeOf(outputs));
        expect(printGraph(simplify(simplified))).toBe(printGraph(simplified));
      }),
      { numRuns: 100 },
    );
  });

  test.each<readonly [string, () => Tensor, string]>([
    ["a reshape of a reshape is one", () => reshape(reshape(x, [2, "B", 2]), ["B", 2, 2]), "reshape(x)"],
    ["reshapes that cancel go", () => reshape(reshape(x, [4, "B"]), ["B", 4]), "x"],
    ["transposes that cancel go", () => transpose(transpose(x, [1, 0]), [1, 0]), "x"],
    ["a transpose folds into a product", () => matmul(x, transpose(square, [1, 0])), "matmul(x, square, transposeB)"],
    ["a factor folds into a product", () => mul(matmul(x, square), 0.5), "matmul(x, square, scale=0.5)"],
    ["a term folds into a product", () => add(y, matmul(x, square)), "matmul(x, square, y)"],
    ["factors become one", () => mul(mul(x, 2), 3), "mul(x, 6)"],
    ["a factor of one goes", () => mul(x, 1), "x"],
    ["adding a negative is subtracting", () => add(x, neg(y)), "sub(x, y)"],
    ["a sum over an axis of size 1 goes", () => sum(input("row", [1, 4]), [0]), "row"],
    ["a rule for a gradient goes", () => withGradient(x, x, (dy) => dy), "x"],
  ])("%s", (_, make, expected) => {
    const lines = printGraph(simplify({ out: make() })).split("\n");
    const made = lines.filter((line) => line.startsWith("%")).map((line) => line.replace(/^%\d+ = | {2}\[.*$/g, ""));
    expect(made.length > 0 ? made : [lines.at(-1)!.replace("→ out = ", "")]).toEqual([expected]);
  });

  test("repeating before an operator that repeats by itself goes", () => {
    const outputs = { out: mul(expand(input("row", [1, 4]), ["B", 4]), x) };
    expect(printGraph(simplify(outputs))).not.toContain("expand");
    expect(printGraph(simplify({ out: mul(expand(input("row", [1, 4]), [3, 4]), 2) }))).toContain("expand");
  });

  test("equal tensors become one, different constants stay two", () => {
    const both = { a: sigmoid(add(x, 1)), b: sigmoid(add(x, 1)), c: sigmoid(add(x, 2)) };
    expect(sizeOf(simplify(both))).toBe(1 + 2 * 3);
    const limits = { most: add(x, Number.POSITIVE_INFINITY), least: add(x, Number.NEGATIVE_INFINITY) };
    const { most, least } = evaluate(simplify(limits), small(1));
    expect([most!.data[0], least!.data[0]]).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
  });

  test("a product that others use too is computed once", () => {
    const product = matmul(x, square);
    const lines = printGraph(simplify({ product, half: mul(product, 0.5), more: add(product, y) }));
    expect(lines.match(/matmul/g)).toHaveLength(1);
  });
});

/** Both towers with few enough numbers for the reference to be quick. */
const towers: ClipConfig = {
  embedSize: 4,
  activation: "quick_gelu",
  image: { kind: "vit", imageSize: 4, patchSize: 2, width: 4, layers: 1, heads: 2, mlpWidth: 8 },
  text: { contextLength: 5, vocabularySize: 11, width: 4, layers: 1, heads: 2, mlpWidth: 8 },
};

describe.each(["quick_gelu", "gelu", "gelu_tanh"] as const)(
  "the towers and all their gradients with %s",
  (activation) => {
    const model = contrastiveModel({ ...towers, activation });
    const names = [...model.parameters.keys()];
    const gradients = gradient(model.loss, [...model.parameters.values()]);
    const outputs: Record<string, Tensor> = {
      loss: model.loss,
      logits: model.logits,
      ...Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i]!])),
    };
    const inputs = reachable(Object.values(outputs)).filter(({ operator }) => operator.name === "input");
    const feeds = Object.fromEntries(
      inputs.map((tensor, i) => {
        const { name } = tensor.attributes as { readonly name: string };
        const kind = tensor.dtype === "int32" ? (name === "ids" ? 11 : 2) : "real";
        return [name, valuesFor({ shape: tensor.shape, kind }, i)];
      }),
    );
    const expected = evaluate(outputs, feeds);

    test("keep their values when simplified, and nothing is left to simplify", () => {
      const simplified = simplify(outputs);
      expect(worst(evaluate(simplified, feeds), expected)).toBeLessThan(1e-9);
      expect(sizeOf(simplified)).toBeLessThan(sizeOf(outputs));
      expect(printGraph(simplify(simplified))).toBe(printGraph(simplified));
    });

    test.each(["portable", "fast"] as const)("are the reference's in ONNX Runtime, %s form", async (form) => {
      expect(worst(await runOnnx(simplify(outputs), inputs, feeds, form), expected)).toBeLessThan(1e-4);
    });

    test("use ONNX Runtime's own operators in the fast form, and none in the portable one", () => {
      const text = (form: "fast" | "portable") =>
        new TextDecoder("latin1").decode(onnxModel(simplify(outputs), { form }));
      expect(text("fast")).toContain("com.microsoft");
      expect(text("portable")).not.toContain("com.microsoft");
    });
  },
);

test("a printed graph reads like the model", () => {
  const p = (name: string, shape: readonly number[]) => input(name, shape);
  const rows = input("x", ["B*T", 8]);
  const normal = layerNorm(rows, p("ln_1.weight", [8]), p("ln_1.bias", [8]));
  const hidden = matmul(normal, p("c_fc.weight", [16, 8]), { transposeB: true, plus: p("c_fc.bias", [16]) });
  const active = withGradient(mul(hidden, sigmoid(hidden)), hidden, (dy) => dy);
  const out = add(rows, mul(matmul(active, p("c_proj.weight", [8, 16]), { transposeB: true }), 0.5));
  expect(printGraph({ out: reshape(out, ["B", "T", 8]) })).toMatchInlineSnapshot(`
    "x  [B*T, 8]
    ln_1.weight  [8]
    ln_1.bias  [8]
    %0 = layerNorm(x, ln_1.weight, ln_1.bias, epsilon=0.00001)  [B*T, 8]
    c_fc.weight  [16, 8]
    c_fc.bias  [16]
    %1 = matmul(%0, c_fc.weight, c_fc.bias, transposeB)  [B*T, 16]
    %2 = sigmoid(%1)  [B*T, 16]
    %3 = mul(%1, %2)  [B*T, 16]
    %4 = withGradient(%3, %1)  [B*T, 16]
    c_proj.weight  [8, 16]
    %5 = matmul(%4, c_proj.weight, transposeB)  [B*T, 8]
    %6 = mul(%5, 0.5)  [B*T, 8]
    %7 = add(x, %6)  [B*T, 8]
    %8 = reshape(%7)  [B, T, 8]
    → out = %8"
  `);
});
