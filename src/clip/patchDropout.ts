/**
 * @file A picture tower that looks at some patches of each picture only, which makes training cheaper (FLIP: Li et al. 2023;
 * open_clip's `PatchDropout`). Which ones is an input of the graph, so that both runs over a micro-batch see the same.
 *
 * Shapes: B pictures, G patches, K of them kept, T = K + 1 tokens with the class token, D width.
 */
import { add, concat, constant, dimProduct, expand, gather, reshape, slice, type Tensor } from "../graph/index.js";
import type { VitConfig } from "./config.js";
import type { Parameters } from "./parameters.js";

/** G. */
export function patchCount({ imageSize, patchSize }: VitConfig): number {
  const [height, width] = typeof imageSize === "number" ? [imageSize, imageSize] : imageSize;
  return Math.floor(height / patchSize) * Math.floor(width / patchSize);
}

/** Of `count` rows a picture, `[B·count, D]`, those that are kept: `[B·K, D]`. */
export function keptRows(rows: Tensor, count: number, kept: Tensor): Tensor {
  const [batch, few] = kept.shape;
  if (typeof batch !== "number") throw new Error("dropping patches needs the batch's size");
  const starts = constant(
    Array.from({ length: batch }, (_, i) => i * count),
    [batch, 1],
    "int32",
  );
  return reshape(gather(rows, add(kept, starts)), [dimProduct([batch, few!]), rows.shape[1]!]);
}

/** The positions of the tokens of each picture: `[B, T, D]`. */
export function keptPositions(config: VitConfig, p: Parameters, kept: Tensor): Tensor {
  const { width } = config;
  const count = patchCount(config);
  if (config.classToken === false) return gather(p.get("positional_embedding", [count, width]), kept);
  const table = p.get("positional_embedding", [count + 1, width]);
  const ofClass = expand(reshape(slice(table, 0, 0, 1), [1, 1, width]), [kept.shape[0]!, 1, width]);
  return concat([ofClass, gather(slice(table, 0, 1, count + 1), kept)], 1);
}
