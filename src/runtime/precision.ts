/** @file In which numbers a program's large products are worked out. */
import { input, matmul, quantise, type Tensor } from "../graph/index.js";
import type { Runtime } from "./index.js";

/** "int8": products of rows and weights in 8-bit integers, all else in float32 (`quantise` in the graph room). */
export type Precision = "fp32" | "int8";

type Outputs = Readonly<Record<string, Tensor>>;

/** The outputs as they are to be compiled. @param parameters names of the inputs that are parameters */
export async function withPrecision(
  precision: Precision,
  outputs: Outputs,
  parameters: Iterable<string>,
  runtime: Runtime,
): Promise<Outputs> {
  if (precision === "fp32") return outputs;
  return quantise(outputs, { parameters: new Set(parameters), largestWeight: await largestExactWeight(runtime) });
}

/** `runtime`, with large products of rows and a program's constants worked out in 8-bit integers. */
export const integerRuntime = (runtime: Runtime, largestWeight: number): Runtime => ({
  ...runtime,
  compile: (outputs, options) =>
    runtime.compile(quantise(outputs, { parameters: new Set(options?.constants?.keys()), largestWeight }), options),
});

/**
 * The largest integer of a weight whose products this machine sums exactly. x86 without VNNI adds pairs of products in
 * 16 bits, which overflow beyond 7-bit weights (ONNX Runtime, "Quantize ONNX Models", on `reduce_range`): 255·63·2 fits.
 */
export async function largestExactWeight(runtime: Runtime): Promise<127 | 63> {
  const inner = 192;
  const ones = (name: string, rows: number) => ({
    tensor: input(name, [rows, inner]),
    data: { data: new Float32Array(rows * inner).fill(1), shape: [rows, inner] },
  });
  const [x, weight] = [ones("x", 256), ones("weight", inner)];
  const product = { y: matmul(x.tensor, weight.tensor) };
  const program = await runtime.compile(quantise(product, { parameters: new Set(["weight"]) }));
  const { y } = await program.run({ x: x.data, weight: weight.data });
  await program.dispose();
  return y!.data.every((value) => Math.abs(Number(value) - inner) < 1) ? 127 : 63;
}
