/**
 * @file A model for pictures of another size, or texts of another length: its position embeddings are interpolated.
 * Follows open_clip's `resize_pos_embed` (bicubic with antialias on the grid, the class token's kept) and
 * `resize_text_pos_embed` (linear, half-pixel centres, without antialias); timm's towers the same way.
 */
import { type ClipConfig, inputSides } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import { resizeAxis } from "../image/index.js";
import type { Checkpoint, Parameter } from "./checkpoint.js";

type Grid = readonly [height: number, width: number];

/** The checkpoint for pictures of `imageSize` pixels (a square's side, or `[height, width]`). @throws DiptychError `BadImageSize`. */
export function withImageSize<C extends Pick<Checkpoint, "config" | "preprocess" | "parameters">>(
  checkpoint: C,
  imageSize: number | [number, number],
): C {
  const { config } = checkpoint;
  const { image } = config;
  if (image.kind === "resnet" && typeof imageSize !== "number") {
    throw new DiptychError("BadImageSize", "This model's ResNet takes square pictures.", "Give one side.");
  }
  const resized = { ...config, image: { ...image, imageSize } } as ClipConfig;
  const name = image.kind === "vit" ? "visual.positional_embedding" : "visual.attnpool.positional_embedding";
  const leading = image.kind === "vit" && image.classToken === false ? 0 : 1;
  const from = gridOf(config);
  const to = gridOf(resized);
  if (Math.min(...to) < 1) {
    throw new DiptychError("BadImageSize", `Pictures of ${imageSize} pixels hold no patch.`, "Give a larger size.");
  }
  const embedding = resizeGrid(checkpoint.parameters.get(name)!, leading, from, to);
  return {
    ...checkpoint,
    config: resized,
    preprocess: { ...checkpoint.preprocess, size: imageSize },
    parameters: new Map(checkpoint.parameters).set(name, embedding),
  };
}

/** The checkpoint for texts of `contextLength` tokens. */
export function withContextLength<C extends Pick<Checkpoint, "config" | "parameters">>(
  checkpoint: C,
  contextLength: number,
): C {
  const { config, parameters } = checkpoint;
  const name = "positional_embedding";
  const own = config.text.classToken ? 1 : 0; // the class token's stands last, and open_clip leaves it out of this
  const { data, shape } = parameters.get(name)!;
  const [rows, width] = shape as readonly [number, number];
  const words = { data: data.subarray(0, (rows - own) * width), shape: [rows - own, width] };
  const resized = resizeLine(words, contextLength);
  const whole = new Float32Array((contextLength + own) * width);
  whole.set(resized.data);
  whole.set(data.subarray((rows - own) * width), contextLength * width);
  return {
    ...checkpoint,
    config: { ...config, text: { ...config.text, contextLength } },
    parameters: new Map(parameters).set(name, { data: whole, shape: [contextLength + own, width] }),
  };
}

/** Patches of a ViT, or places of a ResNet's last stage. */
function gridOf(config: ClipConfig): Grid {
  const step = config.image.kind === "vit" ? config.image.patchSize : 32;
  const [height, width] = inputSides(config);
  return [Math.floor(height / step), Math.floor(width / step)];
}

/** Rows `[leading + h·w, D]` → `[leading + H·W, D]`: along the width first, as PyTorch does. */
export function resizeGrid({ data, shape }: Parameter, leading: number, from: Grid, to: Grid): Parameter {
  const width = shape[1]!;
  if (from.join() === to.join()) return { data, shape };
  const grid = data.subarray(leading * width);
  const wide = resample(grid, { outer: from[0], length: from[1], inner: width }, to[1]);
  const whole = resample(wide, { outer: 1, length: from[0], inner: to[1] * width }, to[0]);
  const resized = new Float32Array((leading + to[0] * to[1]) * width);
  resized.set(data.subarray(0, leading * width));
  resized.set(whole, leading * width);
  return { data: resized, shape: [leading + to[0] * to[1], width] };
}

/** The middle axis of `[outer, length, inner]` resized, bicubic with antialias. */
function resample(
  data: ArrayLike<number>,
  { outer, length, inner }: { readonly outer: number; readonly length: number; readonly inner: number },
  to: number,
): Float64Array {
  const { taps, first, count, weights } = resizeAxis(length, to, 0, to, "bicubic");
  const out = new Float64Array(outer * to * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < to; i++) {
      for (let t = 0; t < count[i]!; t++) {
        const weight = weights[i * taps + t]!;
        const source = (o * length + first[i]! + t) * inner;
        for (let k = 0; k < inner; k++) out[(o * to + i) * inner + k]! += weight * data[source + k]!;
      }
    }
  }
  return out;
}

/** Rows `[n, D]` → `[N, D]`: each between its two neighbours. */
export function resizeLine({ data, shape }: Parameter, to: number): Parameter {
  const [rows, width] = shape as readonly [number, number];
  if (rows === to) return { data, shape };
  const resized = new Float32Array(to * width);
  for (let i = 0; i < to; i++) {
    const place = Math.max(0, ((i + 0.5) * rows) / to - 0.5);
    const low = Math.min(Math.floor(place), rows - 1);
    const high = Math.min(low + 1, rows - 1);
    for (let k = 0; k < width; k++) {
      const [a, b] = [data[low * width + k]!, data[high * width + k]!];
      resized[i * width + k] = a + (b - a) * (place - low);
    }
  }
  return { data: resized, shape: [to, width] };
}
