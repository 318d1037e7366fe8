/** @file A program over an ONNX Runtime session; the API is the same for onnxruntime-node and onnxruntime-web. */
import type * as Ort from "onnxruntime-common";
import { onnxModel, simplify } from "../graph/index.js";
import type { Program, Runtime, TensorData } from "./index.js";
import { endOfRun, runInPlace } from "./inPlace.js";

export type OrtModule = Pick<typeof Ort, "InferenceSession" | "Tensor">;

/**
 * Compiles graphs into sessions with these options.
 * @param copies whether the binding copies outputs that have an array (`inPlace.ts`)
 */
export const onnxRuntime = (
  ort: OrtModule,
  name: string,
  options: Ort.InferenceSession.SessionOptions,
  copies = false,
): Runtime => ({
  name,
  async compile(outputs, { constants, givesBack = false } = {}) {
    const model = onnxModel(simplify(outputs), {
      form: "fast",
      ...(constants && { constants }),
      ...(copies && { emptySequence: endOfRun }),
    });
    const session = await ort.InferenceSession.create(model, { ...options, enableCpuMemArena: !givesBack });
    return openProgram(ort, session);
  },
});

/** A session as a program, which ends it. */
export function openProgram(ort: OrtModule, session: Ort.InferenceSession): Program {
  const declared = new Set(session.inputNames);
  const outputNames = session.outputNames.filter((name) => name !== endOfRun);
  const copies = outputNames.length < session.outputNames.length;
  return {
    async run(feeds, into = {}) {
      const inputs: Record<string, Ort.Tensor> = {};
      for (const [key, value] of Object.entries(feeds)) if (declared.has(key)) inputs[key] = toOrt(ort, value);
      const fetches: Record<string, Ort.Tensor | null> = {};
      for (const key of outputNames) fetches[key] = into[key] ? toOrt(ort, into[key]) : null;
      if (copies && isFull(fetches)) {
        await runInPlace(session, inputs, fetches);
        return Object.fromEntries(outputNames.map((key) => [key, into[key]!]));
      }
      const results = await session.run(inputs, fetches);
      return Object.fromEntries(outputNames.map((key) => [key, fromOrt(results[key]!)]));
    },
    dispose: () => session.release(),
  };
}

const isFull = <T>(fetches: Record<string, T | null>): fetches is Record<string, T> =>
  !Object.values(fetches).includes(null);

/** An array as ONNX Runtime takes it; it is not copied. */
export function toOrt(ort: OrtModule, { data, shape }: TensorData): Ort.Tensor {
  if (data instanceof Float32Array) return new ort.Tensor("float32", data, shape);
  if (data instanceof Int32Array) return new ort.Tensor("int32", data, shape);
  if (data instanceof BigInt64Array) return new ort.Tensor("int64", data, shape);
  return new ort.Tensor("uint8", data, shape);
}

/** What ONNX Runtime has worked out; not copied. */
export const fromOrt = ({ data, dims }: Ort.Tensor): TensorData => ({ data: data as TensorData["data"], shape: dims });
