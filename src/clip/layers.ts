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
  type Tensor,
  transpose,
} from "../graph/index.js";
import { activations } from "./activations.js";
import type { Activation, TransformerConfig } from "./config.js";
import type { Parameters } from "./parameters.js";

export const widthOf = (x: Tensor) => x.shape.at(-1) as number;

/** scale · (x·Wᵀ + b): x `[R, in]`, weight `[out, in]`, bias `[out]`. */
export function linear(p: Parameters, x: Tensor, out: number, scale = 1): Tensor {
  const bias = p.get("bias", [out]);
  const plus = scale === 1 ? bias : mul(bias, scale);
  return matmul(x, p.get("weight", [out, widthOf(x)]), { transposeB: true, plus, scale });
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

/** Query, key and value of one projection, `[3·D, in]`. */
export function joinedProjections(p: Parameters, inputs: readonly [Tensor, Tensor, Tensor], width: number): Tensor[] {
  const weight = p.get("in_proj_weight", [3 * width, widthOf(inputs[0])]);
  const bias = p.get("in_proj_bias", [3 * width]);
  // Slicing the weights, not the projected tokens, gives contiguous results without a copy of the large one.
  return inputs.map((x, part) => {
    const range = [part * width, (part + 1) * width] as const;
    return matmul(x, slice(weight, 0, ...range), { transposeB: true, plus: slice(bias, 0, ...range) });
  });
}

/** Multi-head self-attention: x `[R, D]`; `mask` is added to the scores `[B, H, T, T]`. */
function selfAttention(
  { heads, epsilon, additions = [] }: TransformerConfig,
  p: Parameters,
  x: Tensor,
  batch: Dim,
  tokens: Dim,
  mask?: Tensor,
): Tensor {
  const width = widthOf(x);
  const [q, k, v] = joinedProjections(p, [x, x, x], width).map((rows) => splitHeads(rows, batch, tokens, heads));
  const queryKeyNorm = additions.includes("queryKeyNorm");
  const normed = (name: string, t: Tensor) => (queryKeyNorm ? layerNorm(p.at(name), t, epsilon) : t);
  let mixed = attend(normed("ln_q", q!), normed("ln_k", k!), v!, mask);
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

/** The two-layer perceptron of a block: x `[R, D]` → `[R, D]`. */
export function mlp(
  p: Parameters,
  x: Tensor,
  hiddenWidth: number,
  activation: Activation,
  norm: { readonly epsilon?: number | undefined } | null = null,
): Tensor {
  const { inner, f, outer } = activations[activation];
  const hidden = f(linear(p.at("c_fc"), x, hiddenWidth, inner)); // [R, hidden]
  const out = p.at("c_proj");
  if (norm) return linear(out, layerNorm(p.at("ln"), mul(hidden, outer), norm.epsilon), widthOf(x));
  return matmul(hidden, out.get("weight", [widthOf(x), hiddenWidth]), {
    transposeB: true,
    plus: out.get("bias", [widthOf(x)]),
    scale: outer,
  });
}

/** Pre-norm residual blocks: x `[R, D]` → `[R, D]`. */
export function transformer(
  config: TransformerConfig,
  activation: Activation,
  p: Parameters,
  x: Tensor,
  batch: Dim,
  tokens: Dim,
  mask?: Tensor,
): Tensor {
  const { width, epsilon, mlpWidth, additions = [] } = config;
  for (const block of p.list("resblocks", config.layers)) {
    const scaled = (name: string, t: Tensor) => (config.layerScale ? mul(t, block.get(`${name}.gamma`, [width])) : t);
    const attended = selfAttention(
      config,
      block.at("attn"),
      layerNorm(block.at("ln_1"), x, epsilon),
      batch,
      tokens,
      mask,
    );
    const added = additions.includes("attentionNorm") ? layerNorm(block.at("ln_attn"), attended, epsilon) : attended;
    x = add(x, scaled("ls_1", added));
    const norm = additions.includes("mlpNorm") ? { epsilon } : null;
    x = add(
      x,
      scaled("ls_2", mlp(block.at("mlp"), layerNorm(block.at("ln_2"), x, epsilon), mlpWidth, activation, norm)),
    );
  }
  return x;
}
