/** @file The door `diptych/browser`: all of `diptych`, and the runtime over `onnxruntime-web`. */
export * from "./index.js";
export { webRuntime } from "./runtime/web.js";
