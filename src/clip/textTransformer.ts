/**
 * @file The text tower: a causal Transformer pooled at the end-of-text token (Radford et al. 2021, §2.4).
 * Follows open_clip's `CLIP.encode_text`. What stands behind end-of-text changes nothing, so L may be a batch's longest.
 *
 * Shapes: B texts, L tokens, D width, V vocabulary, E embedding size.
 */
import {
  add,
  argMax,
  compare,
  type Dim,
  dimProduct,
  gather,
  matmul,
  mul,
  range,
  reshape,
  type Tensor,
} from "../graph/index.js";
import type { Activation, TextConfig } from "./config.js";
import { layerNorm, transformer } from "./layers.js";
import type { Parameters } from "./parameters.js";

/** Ids int32 `[B, L]`, L ≤ contextLength → features `[B, E]`, before L2 normalisation. End of text is the largest id. */
export function textTransformer(
  config: TextConfig,
  activation: Activation,
  embedSize: number,
  p: Parameters,
  ids: Tensor,
): Tensor {
  const { width, vocabularySize, contextLength } = config;
  const [batch, length] = ids.shape as readonly [Dim, Dim];
  const positions = range(length);
  const tokens = gather(p.get("token_embedding.weight", [vocabularySize, width]), ids); // [B, L, D]
  const positioned = add(tokens, gather(p.get("positional_embedding", [contextLength, width]), positions));
  const rows = reshape(positioned, [dimProduct([batch, length]), width]);
  const x = transformer(config, activation, p.at("transformer"), rows, batch, length, causalMask(positions));
  const endOfText = compare(argMax(ids, 1), "equal", positions); // [B, L], 1 at end of text
  const pooled = matmul(reshape(endOfText, [batch, 1, length]), reshape(x, [batch, length, width])); // [B, 1, D]
  return matmul(
    layerNorm(p.at("ln_final"), reshape(pooled, [batch, width])),
    p.get("text_projection", [width, embedSize]),
  );
}

/** `[L, L]`: 0 where a token may look, and a number whose exponential is zero where it would see what follows. */
function causalMask(positions: Tensor): Tensor {
  const length = positions.shape[0]!;
  const follows = compare(reshape(positions, [1, length]), "greater", reshape(positions, [length, 1]));
  return mul(follows, -1e9);
}
