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
  sub,
  type Tensor,
  tanh,
  transpose,
  withGradient,
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

const SQRT_2_PI = Math.sqrt(2 / Math.PI);

const widthOf = (x: Tensor) => x.shape.at(-1) as number;

/** scale · (x·Wᵀ + b): x `[R, in]`, weight `[out, in]`, bias `[out]`. */
export function linear(p: Parameters, x: Tensor, out: number, scale = 1): Tensor {
  const bias = p.get("bias", [out]);
  const plus = scale === 1 ? bias : mul(bias, scale);
  return matmul(x, p.get("weight", [out, widthOf(x)]), { transposeB: true, plus, scale });
}

export const layerNorm = (p: Parameters, x: Tensor): Tensor =>
  normalise(x, p.get("weight", [widthOf(x)]), p.get("bias", [widthOf(x)]));

/** An activation as outer · f(inner · x): the factors cost nothing in the products before and after, f a pass each. */
interface Factored {
  readonly inner: number;
  readonly f: (x: Tensor) => Tensor;
  readonly outer: number;
}

const factored: { readonly [K in Activation]: Factored } = {
  quick_gelu: { inner: 1.702, f: swish, outer: 1 / 1.702 },
  gelu: { inner: Math.SQRT1_2, f: (x) => mul(x, add(erf(x), 1)), outer: Math.SQRT1_2 },
  // ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
  gelu_tanh: {
    inner: 1,
    f: (x) => mul(x, add(tanh(mul(x, add(mul(mul(x, x), 0.044715 * SQRT_2_PI), SQRT_2_PI))), 1)),
    outer: 0.5,
  },
};

/** x·σ(x); its derivative σ(x)·(1 + x − x·σ(x)) reuses both results of the forward pass. */
function swish(x: Tensor): Tensor {
  const gate = sigmoid(x);
  const y = mul(x, gate);
  return withGradient(y, x, (dy) => mul(mul(dy, gate), add(sub(x, y), 1)));
}

/** The two-layer perceptron of a block: x `[R, D]` → `[R, D]`. */
function mlp(p: Parameters, x: Tensor, hiddenWidth: number, activation: Activation): Tensor {
  const { inner, f, outer } = factored[activation];
  const hidden = f(linear(p.at("c_fc"), x, hiddenWidth, inner)); // [R, hidden]
  const out = p.at("c_proj");
  return matmul(hidden, out.get("weight", [widthOf(x), hiddenWidth]), {
    transposeB: true,
    plus: out.get("bias", [widthOf(x)]),
    scale: outer,
  });
}

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
    x = add(x, mlp(block.at("mlp"), layerNorm(block.at("ln_2"), x), config.mlpWidth, activation));
  }
  return x;
}
