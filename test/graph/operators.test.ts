import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { constant, formatShape, gradient, input, type Tensor } from "../../src/graph/index.js";
import * as operators from "../../src/graph/operators/index.js";
import { apply } from "../../src/graph/tensor.js";
import { type Argument, cases, type Example } from "./cases.js";
import { difference, runOnnx, valuesFor } from "./feeds.js";
import { evaluate, type OperatorKey, type Values } from "./reference.js";

const keys = Object.keys(operators).filter((key) => key.endsWith("Operator")) as OperatorKey[];
const isReal = ({ kind }: Argument) => kind === "real" || kind === "positive";

interface Made {
  readonly result: Tensor;
  readonly inputs: readonly Tensor[];
  readonly feeds: Record<string, Values>;
}

function made({ given, make }: Example, seed: number): Made {
  const inputs = given.map(({ shape, kind }, i) =>
    input(`x${i}`, shape, typeof kind === "number" ? "int32" : "float32"),
  );
  const feeds = Object.fromEntries(given.map((argument, i) => [`x${i}`, valuesFor(argument, seed + i)]));
  return { result: make(...inputs), inputs, feeds };
}

test("every operator has a case", () => {
  expect(Object.keys(cases).sort()).toEqual([...keys].sort());
});

describe.each(keys.filter((key) => key in cases))("%s", (key) => {
  const { examples, differentiable, shapes, misfits = [] } = cases[key];
  /** An operator, with the seed of its inputs' values. */
  const seeded = fc.tuple(examples, fc.nat(1e6));

  test("gives its shape, also with sizes that are symbols", () => {
    expect(shapes.map(([make]) => formatShape(make().shape))).toEqual(shapes.map(([, expected]) => expected));
  });

  test("refuses what does not fit, showing the shapes", () => {
    for (const [make, message] of misfits) expect(make).toThrow(message);
  });

  test("gives the reference's values in ONNX Runtime, in both forms, and so do its gradients", async () => {
    await fc.assert(
      fc.asyncProperty(seeded, async ([example, seed]) => {
        const { result, inputs, feeds } = made(example, seed);
        const upstream = input("upstream", result.shape);
        const of = inputs.filter((_, i) => differentiable && isReal(example.given[i]!));
        const outputs = {
          result,
          ...Object.fromEntries(gradient(result, of, upstream).map((d, i) => [`d${i}`, d])),
        };
        const all = { ...feeds, upstream: valuesFor({ shape: result.shape, kind: "real" }, seed + 10) };
        const expected = evaluate(outputs, all);
        for (const form of ["fast", "portable"] as const) {
          const actual = await runOnnx(outputs, [...inputs, upstream], all, form);
          for (const name of Object.keys(outputs)) {
            expect(difference(actual[name]!, expected[name]!), `${form} ${name}`).toBeLessThan(1e-5);
          }
        }
      }),
      { numRuns: 10 },
    );
  });

  if (differentiable)
    test("has the gradient that finite differences show", () => {
      fc.assert(
        fc.property(seeded, ([example, seed]) => {
          const { result, inputs, feeds } = made(example, seed);
          const weights = valuesFor({ shape: result.shape, kind: "real" }, seed + 10);
          const upstream = input("upstream", result.shape);
          const lossAt = (name: string, i: number, step: number) => {
            const data = Float64Array.from(feeds[name]!.data);
            data[i]! += step;
            const moved = evaluate({ result }, { ...feeds, [name]: { ...feeds[name]!, data } }).result!;
            return moved.data.reduce((sum, value, j) => sum + value * weights.data[j]!, 0);
          };
          for (const [i, x] of inputs.entries()) {
            if (!isReal(example.given[i]!)) continue;
            // The result is asked for too because its inputs tell what the symbols stand for.
            const { dx } = evaluate(
              { dx: gradient(result, [x], upstream)[0]!, result },
              { ...feeds, upstream: weights },
            );
            const step = 1e-5;
            const slopes = dx!.data.map((_, j) => (lossAt(`x${i}`, j, step) - lossAt(`x${i}`, j, -step)) / (2 * step));
            expect(difference(dx!, { shape: feeds[`x${i}`]!.shape, data: slopes })).toBeLessThan(1e-6);
          }
        }),
        { numRuns: 10 },
      );
    });

  if (!differentiable && key !== "partOperator")
    test("carries no gradient", () => {
      fc.assert(
        fc.property(seeded, ([example, seed]) => {
          const { result, inputs, feeds } = made(example, seed);
          const zeros = gradient(result, inputs, input("upstream", result.shape));
          const values = evaluate(Object.fromEntries(zeros.map((d, i) => [`d${i}`, d])), {
            ...feeds,
            upstream: valuesFor({ shape: result.shape, kind: "real" }, seed),
          });
          for (const { data } of Object.values(values)) expect(data.every((d) => d === 0)).toBe(true);
        }),
        { numRuns: 5 },
      );
    });
});

describe("gradients", () => {
  const x = input("x", [2, 3]);

  test("of a loss that is no scalar are refused", () => {
    expect(() => gradient(x, [x])).toThrow("gradient of a loss of shape [2,3], which is no scalar");
  });

  test("are zeros, in the input's shape and dtype, where the loss does not depend on it", () => {
    const loss = operators.sum(x, [0, 1]);
    const [dx, dy] = gradient(loss, [x, input("y", [4], "float64")]) as [Tensor, Tensor];
    const values = evaluate({ dx, dy }, { x: valuesFor({ shape: [2, 3], kind: "real" }, 1) });
    expect([...values.dx!.data, ...values.dy!.data]).toEqual([1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
    expect(dy.dtype).toBe("float64");
  });

  test("add up over every use", () => {
    const loss = operators.sum(operators.mul(operators.add(x, x), x), [0, 1]); // 2x²
    const feeds = { x: valuesFor({ shape: [2, 3], kind: "real" }, 2) };
    const { dx } = evaluate({ dx: gradient(loss, [x])[0]! }, feeds);
    expect(difference(dx!, { shape: [2, 3], data: feeds.x.data.map((v) => 4 * v) })).toBeLessThan(1e-12);
  });

  test("of gradients are refused where they are not implemented", () => {
    const normal = operators.layerNorm(x, constant([1, 1, 1]), constant([0, 0, 0]));
    const [dx] = gradient(operators.sum(operators.mul(normal, normal), [0, 1]), [x]);
    expect(() => gradient(operators.sum(dx!, [0, 1]), [x])).toThrow("gradients of gradients are not implemented");
    const picture = input("picture", [1, 1, 5, 5]);
    const wide = operators.convolution(picture, input("kernel", [1, 1, 2, 2]), { dilation: 2 });
    expect(() => gradient(wide, [picture], wide)).toThrow("the gradient of a dilated convolution is not implemented");
  });
});

describe("a graph's bytes", () => {
  test("an output may be an input, or appear twice", async () => {
    const x = input("x", ["B", 2]);
    const feeds = { x: valuesFor({ shape: ["B", 2], kind: "real" }, 3) };
    const results = await runOnnx({ a: x, b: x }, [x], feeds, "portable");
    expect(results).toEqual({ a: feeds.x, b: feeds.x });
  });

  test("a size that no input tells is refused by name", async () => {
    const counted = apply(operators.expandOperator, [constant(1)], { shape: ["B"] });
    await expect(runOnnx({ counted }, [], {}, "portable")).rejects.toThrow("dimension B is not the size of any input");
  });
});
