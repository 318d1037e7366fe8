/**
 * @file The picture tower: Vision Transformer (Dosovitskiy et al. 2021) as CLIP uses it (Radford et al. 2021, §2.4).
 * Follows open_clip's `VisionTransformer`: class token first, `ln_pre`, pre-norm blocks, `ln_post` on the class token,
 * projection.
 *
 * Shapes: B pictures, H×W pixels, P patch size, T = 1 + (H/P)·(W/P) tokens, D width, E embedding size.
 */
import { add, concat, dimProduct, expand, matmul, reshape, slice, type Tensor, transpose } from "../graph/index.js";
import type { Activation, VitConfig } from "./config.js";
import { layerNorm, transformer } from "./layers.js";
import type { Parameters } from "./parameters.js";

/** Normalised pixels `[B, 3, H, W]` → features `[B, E]`, before L2 normalisation. `p` is the scope `visual`. */
export function visionTransformer(
  config: VitConfig,
  activation: Activation,
  embedSize: number,
  p: Parameters,
  pixels: Tensor,
): Tensor {
  const { width } = config;
  const batch = pixels.shape[0]!;
  const patches = patchEmbedding(config, p, pixels); // [B, T−1, D]
  const tokens = 1 + (patches.shape[1] as number);
  const classToken = expand(reshape(p.get("class_embedding", [width]), [1, 1, width]), [batch, 1, width]);
  const positioned = add(concat([classToken, patches], 1), p.get("positional_embedding", [tokens, width])); // [B, T, D]
  const rows = layerNorm(p.at("ln_pre"), reshape(positioned, [dimProduct([batch, tokens]), width]));
  const x = transformer(config, activation, p.at("transformer"), rows, batch, tokens); // [B·T, D]
  const pooled = reshape(slice(reshape(x, [batch, tokens, width]), 1, 0, 1), [batch, width]);
  return matmul(layerNorm(p.at("ln_post"), pooled), p.get("proj", [width, embedSize])); // [B, E]
}

/** The convolution `conv1` of stride P as what it is: one product of patches `[B·(T−1), 3·P·P]` with its kernel. */
function patchEmbedding({ imageSize, patchSize, width }: VitConfig, p: Parameters, pixels: Tensor): Tensor {
  const batch = pixels.shape[0]!;
  const grid = Math.floor(imageSize / patchSize);
  const inner = 3 * patchSize * patchSize;
  const covered = slice(slice(pixels, 2, 0, grid * patchSize), 3, 0, grid * patchSize);
  const cut = reshape(covered, [batch, 3, grid, patchSize, grid, patchSize]);
  const patches = reshape(transpose(cut, [0, 2, 4, 1, 3, 5]), [dimProduct([batch, grid * grid]), inner]);
  const kernel = reshape(p.get("conv1.weight", [width, 3, patchSize, patchSize]), [width, inner]);
  return reshape(matmul(patches, kernel, { transposeB: true }), [batch, grid * grid, width]);
}
