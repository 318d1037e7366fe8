/**
 * @file The picture tower: Vision Transformer (Dosovitskiy et al. 2021) as CLIP uses it (Radford et al. 2021, §2.4), and
 * as SigLIP, CLIPA and CoCa vary it. Follows open_clip's `VisionTransformer`: class token first, `ln_pre`, pre-norm
 * blocks, `ln_post`, pooling, projection.
 *
 * Shapes: B pictures, H×W pixels, P patch size, G = ⌊H/P⌋·⌊W/P⌋ patches, K of them that are looked at (all but where
 * patches are dropped), T = K + 1 tokens with the class token, D width, E embedding size.
 */
import {
  add,
  concat,
  dimProduct,
  expand,
  matmul,
  mul,
  reshape,
  slice,
  sum,
  type Tensor,
  transpose,
} from "../graph/index.js";
import { probePool, queryPool } from "./attentionPool.js";
import type { Activation, VitConfig } from "./config.js";
import { layerNorm, transformer, widthOf } from "./layers.js";
import type { Parameters } from "./parameters.js";
import { keptPositions, keptRows } from "./patchDropout.js";

/**
 * Normalised pixels `[B, 3, H, W]` → features `[B, E]`, before L2 normalisation. `p` is the scope `visual`.
 * @param kept int32 `[B, K]`: the patches of each picture that are looked at (`patchDropout.ts`); all unless given
 */
export function visionTransformer(
  config: VitConfig,
  activation: Activation,
  embedSize: number,
  p: Parameters,
  pixels: Tensor,
  kept?: Tensor,
): Tensor {
  const { width, epsilon } = config;
  const batch = pixels.shape[0]!;
  let x = patchEmbedding(config, p, pixels, kept); // [B, K, D]
  if (config.classToken !== false) {
    const classToken = reshape(p.get("class_embedding", [width]), [1, 1, width]);
    x = concat([expand(classToken, [batch, 1, width]), x], 1); // [B, T, D]
  }
  const tokens = x.shape[1] as number;
  const positions = kept ? keptPositions(config, p, kept) : p.get("positional_embedding", [tokens, width]); // [B, T, D]
  x = reshape(add(x, positions), [dimProduct([batch, tokens]), width]);
  if (config.preNorm !== false) x = layerNorm(p.at("ln_pre"), x, epsilon);
  const sequence = { x, batch, tokens, mask: undefined };
  const alone = config.pool !== "average" && !config.attentionPool; // the first token stands for the picture
  const first = (t: Tensor) => firstToken(reshape(t, [batch, tokens, width]));
  x = transformer(config, activation, p.at("transformer"), sequence, alone ? { rows: first, mask: same } : undefined);
  const pooled = alone
    ? layerNorm(p.at("ln_post"), x, epsilon)
    : pool(config, activation, embedSize, p, reshape(x, [batch, tokens, width]));
  return config.projection === false ? pooled : matmul(pooled, p.get("proj", [widthOf(pooled), embedSize])); // [B, E]
}

/**
 * The convolution `conv1` of stride P as what it is: one product of patches `[B·K, 3·P·P]` with its kernel. Patches are
 * dropped before it, where they are the pixels' and need no gradient.
 */
function patchEmbedding(config: VitConfig, p: Parameters, pixels: Tensor, kept?: Tensor): Tensor {
  const { patchSize, width, patchBias } = config;
  const [batch, channels, height, columns] = pixels.shape as readonly [Tensor["shape"][number], number, number, number];
  const grid = [Math.floor(height / patchSize), Math.floor(columns / patchSize)] as const;
  const inner = channels * patchSize * patchSize;
  const covered = slice(slice(pixels, 2, 0, grid[0] * patchSize), 3, 0, grid[1] * patchSize);
  const cut = reshape(covered, [batch, channels, grid[0], patchSize, grid[1], patchSize]);
  const all = reshape(transpose(cut, [0, 2, 4, 1, 3, 5]), [dimProduct([batch, grid[0] * grid[1]]), inner]);
  const patches = kept ? keptRows(all, grid[0] * grid[1], kept) : all; // [B·K, 3·P·P]
  const count = kept ? kept.shape[1]! : grid[0] * grid[1];
  const kernel = reshape(p.get("conv1.weight", [width, channels, patchSize, patchSize]), [width, inner]);
  const plus = patchBias ? { plus: p.get("conv1.bias", [width]) } : {};
  return reshape(matmul(patches, kernel, { transposeB: true, ...plus }), [batch, count, width]);
}

/** Pooling of many tokens: `[B, T, D]` → `[B, D]` (`[B, E]` from learned queries). */
function pool(config: VitConfig, activation: Activation, embedSize: number, p: Parameters, x: Tensor): Tensor {
  const { attentionPool, epsilon } = config;
  const normed = (t: Tensor) => layerNorm(p.at("ln_post"), t, epsilon);
  const chosen = config.pool === "average" ? average : firstToken;
  switch (attentionPool?.kind) {
    case "probe":
      return probePool(attentionPool, activation, epsilon, p.at("attn_pool"), normed(x));
    case "queries":
      return chosen(normed(queryPool(attentionPool, embedSize, epsilon, p.at("attn_pool"), x)));
    case undefined:
      return config.normAfterPool ? normed(average(x)) : average(normed(x));
  }
}

/** Pictures have no mask. */
const same = (mask: Tensor): Tensor => mask;

const firstToken = (x: Tensor): Tensor => reshape(slice(x, 1, 0, 1), [x.shape[0]!, x.shape[2]!]);

/** The mean of all tokens but the first. */
function average(x: Tensor): Tensor {
  const [batch, tokens, width] = x.shape as readonly [Tensor["shape"][number], number, number];
  return reshape(mul(sum(slice(x, 1, 1, tokens), [1]), 1 / (tokens - 1)), [batch, width]);
}
