/**
 * @file The compiler: tensors as nodes, their gradients, simplification, text and ONNX bytes.
 * A model is a function from tensors to tensors; everything else is something done to the graph it makes.
 */
export { gradient } from "./gradient.js";
export type { OnnxForm } from "./onnx/emitter.js";
export { type OnnxOptions, onnxModel } from "./onnx/model.js";
export { Message } from "./onnx/protobuf.js";
export {
  add,
  argMax,
  averagePool,
  compare,
  concat,
  constant,
  convolution,
  div,
  erf,
  exp,
  expand,
  gather,
  input,
  layerNorm,
  log,
  type MatmulOptions,
  matmul,
  max,
  mul,
  neg,
  pad,
  range,
  relu,
  reshape,
  scatterRows,
  sigmoid,
  slice,
  softmax,
  sqrt,
  standardise,
  sub,
  sum,
  tanh,
  transpose,
  withGradient,
} from "./operators/index.js";
export { printGraph } from "./print.js";
export { type QuantiseOptions, quantise } from "./quantise.js";
export { type Dim, dimProduct, formatShape, type Shape } from "./shape.js";
export { inputsOf, share, simplify } from "./simplify.js";
export type { DType, Operator, Tensor } from "./tensor.js";
