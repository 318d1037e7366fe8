/** @file Operators whose operands are indices: table look-up, its gradient, the place of the largest value. */
import type { Dim } from "../shape.js";
import { axisOf, dimProduct, formatShape } from "../shape.js";
import { apply, type Operator, type Tensor } from "../tensor.js";
import { reshape } from "./layout.js";

/** rows[i…] = table[ids[i…]]: table `[V, D]`, ids `[…]` → `[…, D]`. */
export const gatherOperator: Operator<Readonly<Record<string, never>>> = {
  name: "gather",
  shape: ([table, ids]) => {
    if (table!.shape.length !== 2)
      throw new Error(`gather from ${formatShape(table!.shape)}, which is no table of rows`);
    return [...ids!.shape, table!.shape[1]!];
  },
  gradient: ({ inputs: [table, ids] }, dy) => {
    const rows = dimProduct(ids!.shape);
    const [count, width] = table!.shape as readonly [Dim, Dim];
    return [scatterRows(reshape(ids!, [rows]), reshape(dy, [rows, width]), count as number), null];
  },
  onnx: (result, emit) => emit.node("Gather", result.inputs.map(emit.value), { axis: 0 }),
};

export const gather = (table: Tensor, ids: Tensor): Tensor => apply(gatherOperator, [table, ids], {});

/** table[v] = Σ over i with ids[i] = v of rows[i]: ids `[N]`, rows `[N, D]` → `[count, D]`. */
export const scatterRowsOperator: Operator<{ readonly count: number }> = {
  name: "scatterRows",
  shape: ([ids, rows], { count }) => {
    if (ids!.shape.length !== 1 || rows!.shape.length !== 2 || ids!.shape[0] !== rows!.shape[0]) {
      throw new Error(`scatterRows of ids ${formatShape(ids!.shape)} and rows ${formatShape(rows!.shape)}`);
    }
    return [count, rows!.shape[1]!];
  },
  dtype: ([, rows]) => rows!.dtype,
  gradient: ({ inputs: [ids] }, dy) => [null, gather(dy, ids!)],
  onnx: ({ inputs: [ids, rows], shape }, emit) => {
    const [zeros] = emit.node("ConstantOfShape", [emit.shape(shape)], {
      value: { type: "scalar", value: 0, dtype: rows!.dtype },
    });
    const [indices] = emit.node("Cast", [emit.value(ids!)], { to: { type: "dtype", value: "int64" } });
    const [column] = emit.node("Unsqueeze", [indices!, emit.int64([1])]);
    const [places] = emit.node("Expand", [column!, emit.shape(rows!.shape)]);
    // Not ScatterND: ONNX Runtime adds duplicates there from several threads at once and loses some.
    return emit.node("ScatterElements", [zeros!, places!, emit.value(rows!)], {
      axis: 0,
      reduction: { type: "string", value: "add" },
    });
  },
};

export const scatterRows = (ids: Tensor, rows: Tensor, count: number): Tensor =>
  apply(scatterRowsOperator, [ids, rows], { count });

/** Index of the first largest value along `axis`, which stays with size 1; int64. */
export const argMaxOperator: Operator<{ readonly axis: number }> = {
  name: "argMax",
  shape: ([x], { axis }) => x!.shape.map((dim, i) => (i === axis ? 1 : dim)),
  dtype: () => "int64",
  gradient: () => [null],
  onnx: ({ inputs, attributes: { axis } }, emit) =>
    emit.node("ArgMax", [emit.value(inputs[0]!)], { axis, keepdims: 1 }),
};

export const argMax = (x: Tensor, axis: number): Tensor =>
  apply(argMaxOperator, [x], { axis: axisOf(axis, x.shape.length) });
