/** @file Values for a graph's inputs, and ONNX Runtime over a graph's bytes as they are, in either form. */
import * as ort from "onnxruntime-node";
import { type OnnxForm, onnxModel, type Tensor } from "../../src/graph/index.js";
import { randomStream } from "../../src/image/index.js";
import { type Argument, symbolSizes } from "./cases.js";
import { sizeOf, type Values } from "./reference.js";

/** Values of the kind an argument asks for, each one exact in float32. */
export function valuesFor({ shape, kind }: Argument, seed: number): Values {
  const random = randomStream([seed]);
  const sizes = shape.map((dim) =>
    String(dim)
      .split("*")
      .reduce((product, factor) => product * (symbolSizes[factor] ?? Number(factor)), 1),
  );
  const draw = {
    real: () => Math.fround(4 * random() - 2),
    positive: () => Math.fround(2 * random() + 0.5),
    digit: () => Math.floor(4 * random()),
    id: () => Math.floor((kind as number) * random()),
  }[typeof kind === "number" ? "id" : kind];
  return { shape: sizes, data: Float64Array.from({ length: sizeOf(sizes) }, draw) };
}

/** One thread: a session for so little work should not start a pool of them. */
const options: ort.InferenceSession.SessionOptions = { intraOpNumThreads: 1, logSeverityLevel: 3 };

export async function runOnnx(
  outputs: Readonly<Record<string, Tensor>>,
  inputs: readonly Tensor[],
  feeds: Readonly<Record<string, Values>>,
  form: OnnxForm,
): Promise<Record<string, Values>> {
  const session = await ort.InferenceSession.create(onnxModel(outputs, { form }), options);
  const given = inputs.map((tensor) => {
    const { name } = tensor.attributes as { readonly name: string };
    const { data, shape } = feeds[name]!;
    const value =
      tensor.dtype === "int32"
        ? new ort.Tensor("int32", Int32Array.from(data), shape)
        : new ort.Tensor("float32", Float32Array.from(data), shape);
    return [name, value] as const;
  });
  const results = await session.run(Object.fromEntries(given.filter(([name]) => session.inputNames.includes(name))));
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data, dims }]) => [
      name,
      { shape: dims, data: Float64Array.from(data as ArrayLike<number | bigint>, Number) },
    ]),
  );
}

/** Largest difference relative to the largest expected value (or 1); infinite where shapes differ. */
export function difference(actual: Values, expected: Values): number {
  if (actual.shape.join() !== expected.shape.join()) return Number.POSITIVE_INFINITY;
  const largest = expected.data.reduce((a, b) => Math.max(a, Math.abs(b)), 1);
  return actual.data.reduce((worst, value, i) => {
    return Math.max(worst, Math.abs(value - expected.data[i]!) / largest); // NaN if either is
  }, 0);
}
