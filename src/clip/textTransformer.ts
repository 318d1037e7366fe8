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
import { layerNorm, linear, type TokenChoice, transformer } from "./layers.js";
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
  const sequence = { x: rows, batch, tokens, mask: visible(config, ids, positions) };
  const y = transformer(config, activation, p.at("transformer"), sequence, chosenToken(config, ids, tokens)); // [B, D]
  const pooled = layerNorm(p.at("ln_final"), y, epsilon);
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

/** The token that stands for the text, of T. */
function chosenToken(config: TextConfig, ids: Tensor, tokens: Dim): TokenChoice {
  const batch = ids.shape[0]!;
  const rule = config.classToken ? "last" : (config.pool ?? "largest");
  const positions = range(tokens);
  const placeOf = (): Tensor => {
    if (rule === "first") return range(1);
    if (rule === "last") return max(positions, [0]);
    return argMax(rule === "largest" ? ids : compare(ids, "equal", constant([rule.id], [1], "int32")), 1); // [B, 1]
  };
  const chosen = compare(placeOf(), "equal", expand(reshape(positions, [1, tokens]), [batch, tokens])); // 1 at the place
  const oneHot = reshape(chosen, [batch, 1, tokens]);
  return {
    rows: (x) => {
      const width = x.shape[1]!;
      return reshape(matmul(oneHot, reshape(x, [batch, tokens, width])), [batch, width]);
    },
    mask: (mask) => {
      const perText = mask.shape.length === 4;
      if (perText && mask.shape[2] === 1) return mask; // hides tokens from all alike
      const ofText = perText ? reshape(mask, [batch, tokens, tokens]) : mask; // [B, T, T] or [T, T]
      return reshape(matmul(oneHot, ofText), [batch, 1, 1, tokens]);
    },
  };
}
