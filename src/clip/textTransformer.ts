/**
 * @file The text tower: a causal Transformer pooled at the end-of-text token (Radford et al. 2021, §2.4), and as SigLIP,
 * CLIPA, CoCa and MetaCLIP 2 vary it. Follows open_clip's `CLIP.encode_text` and `TextTransformer`.
 * What stands behind end-of-text changes nothing in OpenAI's model, so L may be a batch's longest (see `ignoresPadding`).
 *
 * Shapes: B texts, L tokens (T with the class token), D width, V vocabulary, E embedding size.
 */
import {
  add,
  argMax,
  compare,
  concat,
  constant,
  type Dim,
  dimProduct,
  expand,
  gather,
  matmul,
  max,
  mul,
  range,
  reshape,
  slice,
  type Tensor,
} from "../graph/index.js";
import type { Activation, TextConfig } from "./config.js";
import { layerNorm, linear, transformer } from "./layers.js";
import type { Parameters } from "./parameters.js";

/** A number whose exponential is zero: added to the score of what must not be seen. */
const HIDDEN = -1e9;

/** Ids int32 or int64 `[B, L]`, L ≤ contextLength → features `[B, E]`, before L2 normalisation. */
export function textTransformer(
  config: TextConfig,
  activation: Activation,
  embedSize: number,
  p: Parameters,
  ids: Tensor,
): Tensor {
  const { width, vocabularySize, contextLength, epsilon } = config;
  const batch = ids.shape[0]!;
  let x = gather(p.get("token_embedding.weight", [vocabularySize, width]), ids); // [B, L, D]
  if (config.classToken) {
    const classToken = reshape(p.get("cls_emb", [width]), [1, 1, width]);
    x = concat([x, expand(classToken, [batch, 1, width])], 1); // [B, T, D]
  }
  const tokens = x.shape[1]!;
  const positions = range(tokens);
  const embedding = p.get("positional_embedding", [contextLength + (config.classToken ? 1 : 0), width]);
  const rows = reshape(add(x, gather(embedding, positions)), [dimProduct([batch, tokens]), width]);
  const y = transformer(config, activation, p.at("transformer"), rows, batch, tokens, visible(config, ids, positions));
  const pooled = layerNorm(p.at("ln_final"), pool(config, ids, reshape(y, [batch, tokens, width])), epsilon);
  switch (config.projection) {
    case "none":
      return pooled;
    case "linear":
      return linear(p.at("text_projection"), pooled, embedSize);
    case "matrix":
    case undefined:
      return matmul(pooled, p.get("text_projection", [width, embedSize]));
  }
}

/** What is added to the scores: broadcasts to `[B, H, T, T]`. */
function visible(config: TextConfig, ids: Tensor, positions: Tensor): Tensor | undefined {
  const past = config.causal === false ? undefined : causalMask(positions);
  const words = config.classToken ? paddingMask(ids, config.padId ?? 0) : undefined;
  return past && words ? add(past, words) : (past ?? words);
}

/** `[T, T]`: 0 where a token may look, HIDDEN where it would see what follows. */
function causalMask(positions: Tensor): Tensor {
  const tokens = positions.shape[0]!;
  return mul(compare(reshape(positions, [1, tokens]), "greater", reshape(positions, [tokens, 1])), HIDDEN);
}

/**
 * `[B, 1, 1, T]`: HIDDEN at padding, with the class token at the wrong end: position i is judged by id i − 1.
 * So were CoCa's published weights trained (open_clip's `correct_cls_mask = False`).
 */
function paddingMask(ids: Tensor, padId: number): Tensor {
  const [batch, length] = ids.shape as readonly [Dim, number];
  const isPadding = compare(ids, "equal", constant([padId], [1], "int32")); // [B, L]
  const first = mul(slice(isPadding, 1, 0, 1), 0);
  return reshape(mul(concat([first, isPadding], 1), HIDDEN), [batch, 1, 1, length + 1]);
}

/** Tokens `[B, T, D]` → the one that stands for the text, `[B, D]`. */
function pool(config: TextConfig, ids: Tensor, x: Tensor): Tensor {
  const [batch, tokens, width] = x.shape as readonly [Dim, Dim, number];
  const rule = config.classToken ? "last" : (config.pool ?? "largest");
  if (rule === "first") return reshape(slice(x, 1, 0, 1), [batch, width]);
  const positions = range(tokens);
  const place = // [B, 1] or [1]
    rule === "last"
      ? max(positions, [0])
      : argMax(rule === "largest" ? ids : compare(ids, "equal", constant([rule.id], [1], "int32")), 1);
  const chosen = compare(place, "equal", expand(reshape(positions, [1, tokens]), [batch, tokens])); // 1 at the place
  return reshape(matmul(reshape(chosen, [batch, 1, tokens]), x), [batch, width]);
}
