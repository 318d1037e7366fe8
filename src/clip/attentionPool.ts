/**
 * @file Pooling by attention, three ways: a ModifiedResNet's, CoCa's learned queries, SigLIP's probe.
 *
 * Shapes: B pictures, T tokens, D width, E embedding size, Q queries, H heads.
 */
import { add, concat, dimProduct, matmul, mul, reshape, slice, sum, type Tensor, transpose } from "../graph/index.js";
import type { Activation, VitConfig } from "./config.js";
import {
  attend,
  joinedProjection,
  joinHeads,
  layerNorm,
  linear,
  mlp,
  pooledAttention,
  projectEach,
  splitHeads,
  widthOf,
} from "./layers.js";
import type { Parameters } from "./parameters.js";

type Pool = NonNullable<VitConfig["attentionPool"]>;

const rowsOf = (x: Tensor): Tensor => reshape(x, [dimProduct(x.shape.slice(0, -1)), widthOf(x)]);

/** open_clip's `AttentionalPooler`: `[B, T, D]` → `[B, Q, E]`. */
export function queryPool(
  { queries, heads }: Extract<Pool, { kind: "queries" }>,
  embedSize: number,
  epsilon: number | undefined,
  p: Parameters,
  x: Tensor,
): Tensor {
  const [batch, tokens] = x.shape;
  const query = layerNorm(p.at("ln_q"), p.get("query", [queries, embedSize]), epsilon);
  const key = layerNorm(p.at("ln_k"), rowsOf(x), epsilon); // [B·T, D]
  const [q, k, v] = queryProjections(p.at("attn"), query, key, embedSize);
  const mixed = pooledAttention(p.at("attn"), splitHeads(q!, 1, queries, heads), k!, v!, batch!, tokens!);
  return reshape(mixed, [batch!, queries, embedSize]);
}

/** PyTorch's `MultiheadAttention` joins the three weights only where query and key are equally wide. */
function queryProjections(p: Parameters, query: Tensor, key: Tensor, embedSize: number): Tensor[] {
  if (widthOf(key) === embedSize) return projectEach([query, key, key], joinedProjection(p, embedSize, embedSize));
  const bias = p.get("in_proj_bias", [3 * embedSize]);
  return (
    [
      ["q", query],
      ["k", key],
      ["v", key],
    ] as const
  ).map(([name, rows], part) =>
    matmul(rows, p.get(`${name}_proj_weight`, [embedSize, widthOf(rows)]), {
      transposeB: true,
      plus: slice(bias, 0, part * embedSize, (part + 1) * embedSize),
    }),
  );
}

/** SigLIP's multi-head attention pooling (big_vision's `MAPHead`): `[B, T, D]` → `[B, D]`. */
export function probePool(
  { heads, mlpWidth }: Extract<Pool, { kind: "probe" }>,
  activation: Activation,
  epsilon: number | undefined,
  p: Parameters,
  x: Tensor,
): Tensor {
  const [batch, tokens, width] = x.shape as readonly [Tensor["shape"][number], number, number];
  const probe = p.get("probe", [1, width]);
  const rows = rowsOf(x);
  const [q, k, v] = projectEach([probe, rows, rows], joinedProjection(p.at("attn"), width, width));
  const pooled = pooledAttention(p.at("attn"), splitHeads(q!, 1, 1, heads), k!, v!, batch, tokens); // [B, D]
  return add(pooled, mlp(p.at("ln"), p.at("mlp"), pooled, { mlpWidth, epsilon }, activation));
}

/** OpenAI's `AttentionPool2d`: the mean of all places looks at them and itself; `[B, D, H, W]` → `[B, E]`. */
export function spatialPool(heads: number, embedSize: number, p: Parameters, x: Tensor): Tensor {
  const [batch, width, height, columns] = x.shape as readonly [Tensor["shape"][number], number, number, number];
  const places = height * columns;
  const tokens = transpose(reshape(x, [batch, width, places]), [0, 2, 1]); // [B, H·W, D]
  const mean = mul(sum(tokens, [1]), 1 / places); // [B, 1, D]
  const all = add(concat([mean, tokens], 1), p.get("positional_embedding", [places + 1, width]));
  const rows = rowsOf(all);
  const query = linear(p.at("q_proj"), rowsOf(slice(all, 1, 0, 1)), width); // [B, D]
  const split = (name: string) => splitHeads(linear(p.at(name), rows, width), batch, places + 1, heads);
  const mixed = attend(splitHeads(query, batch, 1, heads), split("k_proj"), split("v_proj")); // [B, H, 1, D/H]
  return linear(p.at("c_proj"), joinHeads(mixed), embedSize);
}
