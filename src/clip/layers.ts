/**
 * @file The layers that both towers are made of: linear map, layer normalisation, attention, MLP, residual block.
 * Follows open_clip's `ResidualAttentionBlock` and `CustomResidualAttentionBlock` (pre-norm; one projection for query,
 * key and value).
 *
 * Tokens are kept flat, so that every linear map is one matrix product:
 * B batch, T tokens, R = B·T rows, D width, H heads, D/H head width.
 */
import {
  add,
  type Dim,
  dimProduct,
  matmul,
  mul,
  layerNorm as normalise,
  reshape,
  slice,
  softmax,
  standardise,
  type Tensor,
  transpose,
} from "../graph/index.js";
import { activations } from "./activations.js";
import type { Activation, TransformerConfig } from "./config.js";
import type { Adapter } from "./lora.js";
import type { Parameters } from "./parameters.js";

export const widthOf = (x: Tensor) => x.shape.at(-1) as number;

/** A linear map: weight `[out, in]`, bias `[out]`, and what is added to the weight where an adapter learns instead of it. */
interface Linear {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly adapter?: Adapter | undefined;
}

const linearOf = (p: Parameters, inputs: number, out: number, prefix = ""): Linear => ({
  weight: p.get(`${prefix}weight`, [out, inputs]),
  bias: p.get(`${prefix}bias`, [out]),
  adapter: p.adapter(`${prefix}weight`, [out, inputs]),
});

/** scale · x·Wᵀ + b: x `[R, in]` → `[R, out]`. An adapter takes two thin products. */
function scaledLinear(x: Tensor, { weight, bias, adapter }: Linear, scale: number): Tensor {
  const y = matmul(x, weight, { transposeB: true, plus: bias, scale });
  if (!adapter) return y;
  const thin = matmul(x, adapter.a, { transposeB: true }); // [R, rank]
  return matmul(thin, adapter.b, { transposeB: true, plus: y, scale: scale * adapter.scale });
}

/** scale · (x·Wᵀ + b): x `[R, in]` → `[R, out]`. */
const applyLinear = (x: Tensor, map: Linear, scale = 1): Tensor =>
  scaledLinear(x, scale === 1 ? map : { ...map, bias: mul(map.bias, scale) }, scale);

export const linear = (p: Parameters, x: Tensor, out: number): Tensor => applyLinear(x, linearOf(p, widthOf(x), out));

/**
 * The map of x̂ that equals `map` of x̂ ⊙ gain + bias: what a normalisation does after standardising is done to the
 * weights, which are few, instead of the tokens, forward and backward.
 */
function afterNorm(norm: Parameters, map: Linear): Linear {
  const { weight, bias, adapter } = map;
  const width = widthOf(weight);
  const gain = norm.get("weight", [width]);
  const moved = applyLinear(reshape(norm.get("bias", [width]), [1, width]), map); // [1, out]
  return {
    weight: mul(weight, gain),
    bias: reshape(moved, bias.shape),
    adapter: adapter && { ...adapter, a: mul(adapter.a, gain) },
  };
}

export const layerNorm = (p: Parameters, x: Tensor, epsilon?: number): Tensor =>
  normalise(x, p.get("weight", [widthOf(x)]), p.get("bias", [widthOf(x)]), epsilon);

/** Rows `[B·T, D]` → `[B, H, T, D/H]`. */
export const splitHeads = (rows: Tensor, batch: Dim, tokens: Dim, heads: number): Tensor =>
  transpose(reshape(rows, [batch, tokens, heads, widthOf(rows) / heads]), [0, 2, 1, 3]);

/** `[B, H, T, D/H]` → rows `[B·T, D]`. */
export function joinHeads(x: Tensor): Tensor {
  const [batch, heads, tokens, headWidth] = x.shape as readonly [Dim, number, Dim, number];
  return reshape(transpose(x, [0, 2, 1, 3]), [dimProduct([batch, tokens]), heads * headWidth]);
}

/** softmax(q·kᵀ / √width + mask)·v (Vaswani et al. 2017, eq. 1): `[B, H, Q, D/H]`, `[B, H, T, D/H]` twice. */
export function attend(q: Tensor, k: Tensor, v: Tensor, mask?: Tensor): Tensor {
  const scores = matmul(q, k, { transposeB: true, scale: widthOf(q) ** -0.5 }); // [B, H, Q, T]
  return matmul(softmax(mask ? add(scores, mask) : scores), v);
}

/** The joined projection of query, key and value, `[3·D, in]`. */
export const joinedProjection = (p: Parameters, inputs: number, width: number): Linear =>
  linearOf(p, inputs, 3 * width, "in_proj_");

/** Query, key and value. Slicing the weights, not the projected tokens, makes no copy of the larger of the two. */
export const projectEach = (inputs: readonly [Tensor, Tensor, Tensor], { weight, bias, adapter }: Linear): Tensor[] =>
  inputs.map((x, part) => {
    const width = (bias.shape[0] as number) / 3;
    const rows = (t: Tensor) => slice(t, 0, part * width, (part + 1) * width);
    return applyLinear(x, {
      weight: rows(weight),
      bias: rows(bias),
      adapter: adapter && { ...adapter, b: rows(adapter.b) },
    });
  });

/** One token of each sequence, where only that is needed. */
export interface TokenChoice {
  /** Rows `[B·T, D]` → `[B, D]`. */
  readonly rows: (x: Tensor) => Tensor;
  /** A mask `[…, T, T]` → its row for that token, `[…, 1, T]`. */
  readonly mask: (mask: Tensor) => Tensor;
}

/** What a block works on. */
interface Sequence {
  /** `[B·T, D]` */
  readonly x: Tensor;
  readonly batch: Dim;
  readonly tokens: Dim;
  /** Added to the scores `[B, H, T, T]`. */
  readonly mask: Tensor | undefined;
}

/** Normalisation and multi-head self-attention: `[B·T, D]`, or `[B, D]` for one token of each sequence. */
function selfAttention(
  { heads, epsilon, additions = [] }: TransformerConfig,
  norm: Parameters,
  p: Parameters,
  { x, batch, tokens, mask }: Sequence,
  pick?: TokenChoice,
): Tensor {
  const width = widthOf(x);
  const keys = standardise(x, epsilon);
  const projection = afterNorm(norm, joinedProjection(p, width, width));
  const [q, k, v] = projectEach([pick ? pick.rows(keys) : keys, keys, keys], projection);
  const normed = (name: string, t: Tensor) =>
    additions.includes("queryKeyNorm") ? layerNorm(p.at(name), t, epsilon) : t;
  let mixed = attend(
    normed("ln_q", splitHeads(q!, batch, pick ? 1 : tokens, heads)),
    normed("ln_k", splitHeads(k!, batch, tokens, heads)),
    splitHeads(v!, batch, tokens, heads),
    mask && pick ? pick.mask(mask) : mask,
  );
  if (additions.includes("headScale")) mixed = mul(mixed, p.get("head_scale", [heads, 1, 1]));
  const rows = joinHeads(mixed);
  return linear(
    p.at("out_proj"),
    additions.includes("innerNorm") ? layerNorm(p.at("ln_inner"), rows, epsilon) : rows,
    width,
  );
}

/** Learned queries that look at all tokens, projected: q `[1 or B, H, Q, D/H]`, rows of k and v `[B·T, D]`. */
export function pooledAttention(p: Parameters, q: Tensor, k: Tensor, v: Tensor, batch: Dim, tokens: Dim): Tensor {
  const heads = q.shape[1] as number;
  const mixed = attend(q, splitHeads(k, batch, tokens, heads), splitHeads(v, batch, tokens, heads));
  return linear(p.at("out_proj"), joinHeads(mixed), widthOf(k)); // [B·Q, D]
}

/** Normalisation and the two-layer perceptron: x `[R, D]` → `[R, D]`. */
export function mlp(
  norm: Parameters,
  p: Parameters,
  x: Tensor,
  { mlpWidth, epsilon, additions = [] }: Pick<TransformerConfig, "mlpWidth" | "epsilon" | "additions">,
  activation: Activation,
): Tensor {
  const width = widthOf(x);
  const { inner, f, outer } = activations[activation];
  const first = afterNorm(norm, linearOf(p.at("c_fc"), width, mlpWidth));
  const hidden = f(applyLinear(standardise(x, epsilon), first, inner)); // [R, hidden]
  const second = linearOf(p.at("c_proj"), mlpWidth, width);
  if (additions.includes("mlpNorm")) return applyLinear(layerNorm(p.at("ln"), mul(hidden, outer), epsilon), second);
  return scaledLinear(hidden, second, outer);
}

/**
 * Pre-norm residual blocks: x `[B·T, D]` → `[B·T, D]`. Where only one token of each sequence is pooled, the last block is
 * worked out for that one alone, → `[B, D]`: five sixths of a block's arithmetic less, the same values.
 */
export function transformer(
  config: TransformerConfig,
  activation: Activation,
  p: Parameters,
  { x, batch, tokens, mask }: Sequence,
  pick?: TokenChoice,
): Tensor {
  const { width, layers, epsilon, additions = [] } = config;
  for (const [i, block] of p.list("resblocks", layers).entries()) {
    const only = i === layers - 1 ? pick : undefined;
    const scaled = (name: string, t: Tensor) => (config.layerScale ? mul(t, block.get(`${name}.gamma`, [width])) : t);
    const attended = selfAttention(config, block.at("ln_1"), block.at("attn"), { x, batch, tokens, mask }, only);
    const added = additions.includes("attentionNorm") ? layerNorm(block.at("ln_attn"), attended, epsilon) : attended;
    x = add(only ? only.rows(x) : x, scaled("ls_1", added));
    x = add(x, scaled("ls_2", mlp(block.at("ln_2"), block.at("mlp"), x, config, activation)));
  }
  return x;
}
