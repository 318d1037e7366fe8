/** @file Elementwise arithmetic with NumPy's broadcasting. */
import { broadcastShapes } from "../shape.js";
import { apply, type Operator, type Tensor } from "../tensor.js";
import { scalarLike } from "./leaves.js";
import { sumTo } from "./reduce.js";

type None = Readonly<Record<string, never>>;
const none: None = {};
type Numeric = Tensor | number;

function binary(
  name: string,
  onnxType: string,
  gradient: (a: Tensor, b: Tensor, upstream: Tensor, result: Tensor) => readonly [Tensor, Tensor],
): Operator<None> {
  return {
    name,
    shape: (inputs) => broadcastShapes(inputs.map((t) => t.shape)),
    gradient: (result, upstream) => {
      const [a, b] = result.inputs as [Tensor, Tensor];
      const [da, db] = gradient(a, b, upstream, result);
      return [sumTo(da, a.shape), sumTo(db, b.shape)];
    },
    onnx: (result, emit) => emit.node(onnxType, result.inputs.map(emit.value)),
  };
}

export const addOperator = binary("add", "Add", (_a, _b, dy) => [dy, dy]);
export const subOperator = binary("sub", "Sub", (_a, _b, dy) => [dy, neg(dy)]);
export const mulOperator = binary("mul", "Mul", (a, b, dy) => [mul(dy, b), mul(dy, a)]);
export const divOperator = binary("div", "Div", (_a, b, dy, y) => [div(dy, b), neg(mul(dy, div(y, b)))]);

function applyBinary(operator: Operator<None>, a: Numeric, b: Numeric): Tensor {
  if (typeof a === "number" && typeof b === "number") throw new Error(`${operator.name} of two numbers`);
  const left = typeof a === "number" ? scalarLike(a, b as Tensor) : a;
  const right = typeof b === "number" ? scalarLike(b, left) : b;
  return apply(operator, [left, right], none);
}

export const add = (a: Numeric, b: Numeric): Tensor => applyBinary(addOperator, a, b);
export const sub = (a: Numeric, b: Numeric): Tensor => applyBinary(subOperator, a, b);
export const mul = (a: Numeric, b: Numeric): Tensor => applyBinary(mulOperator, a, b);
export const div = (a: Numeric, b: Numeric): Tensor => applyBinary(divOperator, a, b);

function unary(name: string, onnxType: string, gradient: (y: Tensor, dy: Tensor, x: Tensor) => Tensor): Operator<None> {
  return {
    name,
    shape: ([x]) => x!.shape,
    gradient: (y, dy) => [gradient(y, dy, y.inputs[0]!)],
    onnx: (result, emit) => emit.node(onnxType, result.inputs.map(emit.value)),
  };
}

export const negOperator = unary("neg", "Neg", (_, dy) => neg(dy));
export const expOperator = unary("exp", "Exp", (y, dy) => mul(dy, y));
export const logOperator = unary("log", "Log", (_, dy, x) => div(dy, x));
export const sqrtOperator = unary("sqrt", "Sqrt", (y, dy) => div(mul(dy, 0.5), y));
export const sigmoidOperator = unary("sigmoid", "Sigmoid", (y, dy) => mul(dy, mul(y, sub(1, y))));
export const tanhOperator = unary("tanh", "Tanh", (y, dy) => mul(dy, sub(1, mul(y, y))));
// erf'(x) = 2/√π · exp(−x²)
export const erfOperator = unary("erf", "Erf", (_, dy, x) => mul(dy, mul(2 / Math.sqrt(Math.PI), exp(neg(mul(x, x))))));

/** max(x, 0) */
export const reluOperator = unary("relu", "Relu", (y, dy) => mul(dy, compare(y, "greater", scalarLike(0, y))));

export const neg = (x: Tensor): Tensor => apply(negOperator, [x], none);
export const exp = (x: Tensor): Tensor => apply(expOperator, [x], none);
export const log = (x: Tensor): Tensor => apply(logOperator, [x], none);
export const sqrt = (x: Tensor): Tensor => apply(sqrtOperator, [x], none);
export const sigmoid = (x: Tensor): Tensor => apply(sigmoidOperator, [x], none);
export const tanh = (x: Tensor): Tensor => apply(tanhOperator, [x], none);
export const erf = (x: Tensor): Tensor => apply(erfOperator, [x], none);
export const relu = (x: Tensor): Tensor => apply(reluOperator, [x], none);

export const compareOperator: Operator<{ readonly relation: "equal" | "greater" }> = {
  name: "compare",
  shape: (inputs) => broadcastShapes(inputs.map((t) => t.shape)),
  dtype: () => "float32",
  gradient: () => [null, null],
  onnx: (result, emit) => {
    const type = { equal: "Equal", greater: "Greater" }[result.attributes.relation];
    return emit.node("Cast", emit.node(type, result.inputs.map(emit.value)), {
      to: { type: "dtype", value: "float32" },
    });
  },
};

/** 1 where the relation holds, else 0, as float32; no gradient. */
export const compare = (a: Tensor, relation: "equal" | "greater", b: Tensor): Tensor =>
  apply(compareOperator, [a, b], { relation });
