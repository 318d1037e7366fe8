/**
 * @file The layers that both towers are made of: linear map, layer normalisation, attention, MLP, residual block.
 * Follows open_clip's `ResidualAttentionBlock` (pre-norm; one projection for query, key and value).
 *
 * Tokens are kept flat, so that every linear map is one matrix product:
 * B batch, T tokens, R = B·T rows, D width, H heads, D/H head width.
 */
import {
  add,
  type Dim,
  dimProduct,
  erf,
  matmul,
  mul,
  layerNorm as normalise,
  reshape,
  sigmoid,
  slice,
  softmax,
  type Tensor,
  tanh,
  transpose,
} from "../graph/index.js";
import type { Activation } from "./config.js";
import type { Parameters } from "./parameters.js";

/** The sizes of a stack of residual blocks. */
export interface TransformerConfig {
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly mlpWidth: number;
}

const widthOf = (x: Tensor) => x.shape.at(-1) as number;

/** x·Wᵀ + b: x `[R, in]`, weight `[out, in]`, bias `[out]`. */
export const linear = (p: Parameters, x: Tensor, out: number): Tensor =>
  matmul(x, p.get("weight", [out, widthOf(x)]), { transposeB: true, plus: p.get("bias", [out]) });

export const layerNorm = (p: Parameters, x: Tensor): Tensor =>
  normalise(x, p.get("weight", [widthOf(x)]), p.get("bias", [widthOf(x)]));

export const activations: { readonly [K in Activation]: (x: Tensor) => Tensor } = {
  quick_gelu: (x) => mul(x, sigmoid(mul(x, 1.702))),
  gelu: (x) => mul(mul(x, 0.5), add(erf(mul(x, Math.SQRT1_2)), 1)),
  // ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
  gelu_tanh: (x) =>
    mul(mul(x, 0.5), add(tanh(mul(mul(x, add(mul(mul(x, x), 0.044715), 1)), Math.sqrt(2 / Math.PI))), 1)),
};

/** Multi-head self-attention (Vaswani et al. 2017): x `[R, D]`; `mask` is added to the scores `[B, H, T, T]`. */
export function attention(p: Parameters, x: Tensor, batch: Dim, tokens: Dim, heads: number, mask?: Tensor): Tensor {
  const width = widthOf(x);
  const headWidth = width / heads;
  const weight = p.get("in_proj_weight", [3 * width, width]);
  const bias = p.get("in_proj_bias", [3 * width]);
  // Slicing the weights, not the projected tokens, gives three contiguous results without a copy of the large one.
  const [q, k, v] = [0, 1, 2].map((part) => {
    const range = [part * width, (part + 1) * width] as const;
    const projected = matmul(x, slice(weight, 0, ...range), { transposeB: true, plus: slice(bias, 0, ...range) });
    return transpose(reshape(projected, [batch, tokens, heads, headWidth]), [0, 2, 1, 3]); // [B, H, T, D/H]
  }) as [Tensor, Tensor, Tensor];
  const scores = matmul(q, k, { transposeB: true, scale: headWidth ** -0.5 }); // [B, H, T, T]
  const mixed = matmul(softmax(mask ? add(scores, mask) : scores), v); // [B, H, T, D/H]
  const rows = reshape(transpose(mixed, [0, 2, 1, 3]), [dimProduct([batch, tokens]), width]);
  return linear(p.at("out_proj"), rows, width);
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
  for (const block of p.list("resblocks", config.layers)) {
    x = add(x, attention(block.at("attn"), layerNorm(block.at("ln_1"), x), batch, tokens, config.heads, mask));
    const hidden = linear(block.at("mlp.c_fc"), layerNorm(block.at("ln_2"), x), config.mlpWidth);
    x = add(x, linear(block.at("mlp.c_proj"), activations[activation](hidden), config.width));
  }
  return x;
}
