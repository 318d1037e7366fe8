/** @file The runtime in Node: ONNX Runtime's native library, kernels on all cores. */
import "./telemetry.js"; // before the library that it silences
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import * as ort from "onnxruntime-node";
import type { Device } from "./devices.js";
import type { Program, Runtime } from "./index.js";
import { deviceRuntime, type OnCpuFallback } from "./onDevice.js";
import { onnxRuntime, openProgram } from "./session.js";

export { laneRuntime } from "./lanes.js";

export interface NodeRuntimeOptions {
  /** Threads within one operator; as many as the process may use cores. */
  readonly threads?: number;
  /** What computes: the CPU unless given. */
  readonly device?: Device;
  /** Called with what a device left to the CPU, once a program; without it, that is an error. */
  readonly onCpuFallback?: OnCpuFallback;
}

export function nodeRuntime({
  threads = availableParallelism(),
  device = "cpu",
  onCpuFallback,
}: NodeRuntimeOptions = {}): Runtime {
  const manifest = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  if (device !== "cpu") return deviceRuntime(device, `${device} (onnxruntime-node ${version})`, onCpuFallback);
  return onnxRuntime(ort, `cpu (onnxruntime-node ${version}, ${threads} threads)`, sessionOptions(threads), true);
}

/** The program of an ONNX model's bytes. */
export const openNodeProgram = async (model: Uint8Array, threads: number): Promise<Program> =>
  openProgram(ort, await ort.InferenceSession.create(model, sessionOptions(threads)));

const sessionOptions = (threads: number): ort.InferenceSession.SessionOptions => ({
  executionProviders: ["cpu"],
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  graphOptimizationLevel: "all",
  logSeverityLevel: 3,
});
