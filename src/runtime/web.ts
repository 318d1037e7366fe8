/** @file The runtime in a browser: `onnxruntime-web`, which the page loads and passes in (it brings its own wasm files). */
import type * as Ort from "onnxruntime-common";
import type { Runtime } from "./index.js";
import { onnxRuntime } from "./session.js";

/** @param ort the module `onnxruntime-web`; set `ort.env.wasm.wasmPaths` before if its files lie elsewhere. */
export const webRuntime = (ort: typeof Ort): Runtime =>
  onnxRuntime(ort, "wasm (onnxruntime-web)", { executionProviders: ["wasm"] });
