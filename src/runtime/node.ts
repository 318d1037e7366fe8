/** @file The runtime in Node: ONNX Runtime's native library, kernels on all cores. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import * as ort from "onnxruntime-node";
import type { Runtime } from "./index.js";
import { onnxRuntime } from "./session.js";

export interface NodeRuntimeOptions {
  /** Threads within one operator; as many as the process may use cores. */
  readonly threads?: number;
}

export function nodeRuntime({ threads = availableParallelism() }: NodeRuntimeOptions = {}): Runtime {
  const manifest = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  return onnxRuntime(ort, `cpu (onnxruntime-node ${version}, ${threads} threads)`, {
    executionProviders: ["cpu"],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
  });
}
