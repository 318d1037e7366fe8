/**
 * @file A graph as the bytes of an ONNX model. Field numbers are those of onnx.proto3 (IR version 10, opset 21).
 */
import { type Dim, dimFactors } from "../shape.js";
import { type DType, reachable, type Tensor, type Values } from "../tensor.js";
import type { Emitter, OnnxAttribute, OnnxForm } from "./emitter.js";
import { Message } from "./protobuf.js";

const OPSET = 21;
const dataType = { float32: 1, float64: 11, int32: 6, int64: 7, uint8: 2, int8: 3 } as const satisfies Record<
  DType,
  number
>;

export interface OnnxOptions {
  readonly form?: OnnxForm;
  /** Inputs to store in the file as constants, by name. */
  readonly constants?: ReadonlyMap<string, OnnxConstant>;
  /** Inputs that have another name, or come in another dtype, than in the graph. */
  readonly inputs?: Readonly<Record<string, { readonly name: string; readonly dtype: DType }>>;
  /** The name of one more output, before the others: an empty sequence, which is no tensor. */
  readonly emptySequence?: string | undefined;
}

export interface OnnxConstant {
  readonly data: Values;
  readonly shape: readonly number[];
  /** Where in a file beside the model's the numbers lie, in bytes: protobuf allows a model 2 GB. The caller writes it. */
  readonly external?: { readonly file: string; readonly offset: number };
}

/** The bytes of an ONNX model whose inputs are the graph's `input`s and whose outputs bear the keys of `outputs`. */
export function onnxModel(
  outputs: Readonly<Record<string, Tensor>>,
  options: OnnxOptions = {},
): Uint8Array<ArrayBuffer> {
  const nodes: Node[] = [];
  const initializers: Message[] = [];
  const graphInputs: Message[] = [];
  const made = new Map<Tensor, readonly string[]>();
  const constants = new Map<string, string>();
  const order = reachable(Object.values(outputs));
  let count = 0;
  const fresh = () => `v${count++}`;

  const initializer = (name: string, constant: OnnxConstant, dtype: DType) => {
    initializers.push(tensorMessage(constant, dtype).string(8, name));
    return name;
  };

  const emitter: Emitter = {
    form: options.form ?? "portable",
    value: (tensor) => emitter.outputs(tensor)[0]!,
    outputs: (tensor) => {
      const names = made.get(tensor);
      if (!names) throw new Error(`${tensor.operator.name} is used before it is emitted`);
      return names;
    },
    input(name, tensor) {
      const fixed = options.constants?.get(name);
      if (fixed) return initializer(name, fixed, tensor.dtype);
      const given = options.inputs?.[name] ?? { name, dtype: tensor.dtype };
      graphInputs.push(valueInfo(given.name, { shape: tensor.shape, dtype: given.dtype }));
      if (given.dtype === tensor.dtype) return given.name;
      return emitter.node("Cast", [given.name], { to: { type: "dtype", value: tensor.dtype } })[0]!;
    },
    node(type, inputs, attributes = {}, { domain = "", outputs: outputCount = 1 } = {}) {
      const names = Array.from({ length: outputCount }, fresh);
      nodes.push({ type, inputs, outputs: names, attributes, domain });
      return names;
    },
    constant: (data, shape, dtype) => initializer(fresh(), { data, shape }, dtype),
    int64(values) {
      const key = values.join();
      let name = constants.get(key);
      if (!name) {
        name = initializer(fresh(), { data: BigInt64Array.from(values, BigInt), shape: [values.length] }, "int64");
        constants.set(key, name);
      }
      return name;
    },
    shape(shape) {
      if (shape.every((dim) => typeof dim === "number")) return emitter.int64(shape);
      const parts = shape.map((dim) => (typeof dim === "number" ? emitter.int64([dim]) : dimension(dim)));
      return parts.length === 1 ? parts[0]! : emitter.node("Concat", parts, { axis: 0 })[0]!;
    },
    reshapeTarget(shape) {
      const unknown = shape.filter((dim) => typeof dim !== "number").length;
      return unknown === 1
        ? emitter.int64(shape.map((dim) => (typeof dim === "number" ? dim : -1)))
        : emitter.shape(shape);
    },
  };

  /** A symbolic dimension as an int64 list of one: the product of the symbols' sizes, read from the inputs' shapes. */
  const dimensions = new Map<string, string>();
  function dimension(dim: Dim): string {
    const known = dimensions.get(String(dim));
    if (known) return known;
    const { count: factor, symbols } = dimFactors(dim);
    const terms = symbols.map((symbol) => {
      const carrier = order.find((t) => t.operator.name === "input" && t.shape.includes(symbol));
      if (!carrier) throw new Error(`dimension ${symbol} is not the size of any input`);
      const axis = carrier.shape.indexOf(symbol);
      return emitter.node("Shape", [emitter.value(carrier)], { start: axis, end: axis + 1 })[0]!;
    });
    if (factor !== 1) terms.push(emitter.int64([factor]));
    const name = terms.reduce((a, b) => emitter.node("Mul", [a, b])[0]!);
    dimensions.set(String(dim), name);
    return name;
  }

  // Inputs first: a dimension may be read from one that no node before has used.
  for (const tensor of order) {
    if (tensor.operator.name === "input") made.set(tensor, tensor.operator.onnx(tensor, emitter));
  }
  for (const tensor of order) if (!made.has(tensor)) made.set(tensor, tensor.operator.onnx(tensor, emitter));

  const graph = new Message().string(2, "diptych");
  const results: Message[] = [];
  // A node writes its value under the output's name; what is no node's, or is asked for twice, is copied.
  const ofNodes = new Set(nodes.flatMap((node) => node.outputs));
  const named = new Map<string, string>();
  const { emptySequence } = options;
  if (emptySequence) {
    nodes.push({ type: "SequenceEmpty", inputs: [], outputs: [emptySequence], attributes: {}, domain: "" });
    const ofFloats = new Message().message(1, new Message().message(1, new Message().integer(1, dataType.float32)));
    results.push(new Message().string(1, emptySequence).message(2, new Message().message(4, ofFloats)));
  }
  for (const [name, tensor] of Object.entries(outputs)) {
    const value = emitter.value(tensor);
    if (ofNodes.has(value) && !named.has(value)) named.set(value, name);
    else nodes.push({ type: "Identity", inputs: [value], outputs: [name], attributes: {}, domain: "" });
    results.push(valueInfo(name, tensor));
  }
  for (const node of nodes) graph.message(1, nodeMessage(node, named));
  for (const value of initializers) graph.message(5, value);
  for (const value of graphInputs) graph.message(11, value);
  for (const value of results) graph.message(12, value);
  const opset = (domain: string, version: number) => new Message().string(1, domain).integer(2, version);
  const model = new Message().integer(1, 10).string(2, "diptych").message(7, graph).message(8, opset("", OPSET));
  if (options.form === "fast") model.message(8, opset("com.microsoft", 1));
  return model.toBytes();
}

interface Node {
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
  readonly domain: string;
}

/** @param renamed values that bear another name than the node knows */
function nodeMessage(
  { type, inputs, outputs, attributes, domain }: Node,
  renamed: ReadonlyMap<string, string>,
): Message {
  const named = (value: string) => renamed.get(value) ?? value;
  const message = new Message();
  for (const value of inputs) message.string(1, named(value));
  for (const value of outputs) message.string(2, named(value));
  message.string(3, `${type}_${named(outputs[0]!)}`).string(4, type);
  for (const [name, value] of Object.entries(attributes)) message.message(5, attributeMessage(name, value));
  return domain === "" ? message : message.string(7, domain);
}

function tensorMessage({ data, shape, external }: OnnxConstant, dtype: DType): Message {
  const message = new Message();
  for (const dim of shape) message.integer(1, dim);
  message.integer(2, dataType[dtype]);
  if (!external) return message.bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const place = { location: external.file, offset: external.offset, length: data.byteLength };
  for (const [key, value] of Object.entries(place)) {
    message.message(13, new Message().string(1, key).string(2, String(value)));
  }
  return message.integer(14, 1);
}

function valueInfo(name: string, { shape: dims, dtype }: Pick<Tensor, "shape" | "dtype">): Message {
  const shape = new Message();
  for (const dim of dims) {
    shape.message(1, typeof dim === "number" ? new Message().integer(1, dim) : new Message().string(2, dim));
  }
  const type = new Message().integer(1, dataType[dtype]).message(2, shape);
  return new Message().string(1, name).message(2, new Message().message(1, type));
}

function attributeMessage(name: string, value: OnnxAttribute): Message {
  const message = new Message().string(1, name);
  if (typeof value === "number") return message.integer(3, value).integer(20, 2);
  if (!("type" in value)) {
    for (const item of value) message.integer(8, item);
    return message.integer(20, 7);
  }
  switch (value.type) {
    case "float":
      return message.float(2, value.value).integer(20, 1);
    case "string":
      return message.string(4, value.value).integer(20, 3);
    case "dtype":
      return message.integer(3, dataType[value.value]).integer(20, 2);
    case "scalar": {
      const values = value.dtype === "float64" ? Float64Array.of(value.value) : Float32Array.of(value.value);
      return message.message(5, tensorMessage({ data: values, shape: [1] }, value.dtype)).integer(20, 4);
    }
  }
}
