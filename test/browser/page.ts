/** @file The script of the test's page: fetches the weights and does `sample.ts`'s work over onnxruntime-web. */
import * as ort from "onnxruntime-web/wasm";
import { webRuntime } from "../../src/browser.js";
import { embedSample } from "./sample.js";

ort.env.wasm.wasmPaths = "/wasm/";
ort.env.wasm.numThreads = 1;

async function embedInPage() {
  const response = await fetch("/weights.safetensors");
  return embedSample(new Uint8Array(await response.arrayBuffer()), webRuntime(ort));
}

Object.assign(globalThis, { embedInPage });
