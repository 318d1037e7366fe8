/**
 * @file The other picture tower: ModifiedResNet (Radford et al. 2021, §2.4; open_clip's `modified_resnet.py`).
 * A stem of three convolutions instead of one, average pooling before every convolution that would stride, and
 * attention pooling. Batch normalisation is folded into the convolutions, but in training, where it uses the batch's
 * statistics and notes the running averages.
 *
 * Shapes: B pictures, C channels, H×W places, E embedding size.
 */
import { add, averagePool, convolution, div, mul, relu, reshape, sqrt, sub, sum, type Tensor } from "../graph/index.js";
import { spatialPool } from "./attentionPool.js";
import type { ResnetConfig } from "./config.js";
import type { Parameters } from "./parameters.js";

const EPSILON = 1e-5;
/** Weight of the newest batch in a running average. */
const MOMENTUM = 0.1;
/** A bottleneck's output is so many times as wide as its inside. */
const EXPANSION = 4;

/** Normalised pixels `[B, 3, H, W]` → features `[B, E]`, before L2 normalisation. `p` is the scope `visual`. */
export function modifiedResnet(config: ResnetConfig, embedSize: number, p: Parameters, pixels: Tensor): Tensor {
  const { width, layers, heads } = config;
  let x = relu(normalisedConvolution(p.at("conv1"), p.at("bn1"), pixels, width / 2, { size: 3, stride: 2 }));
  x = relu(normalisedConvolution(p.at("conv2"), p.at("bn2"), x, width / 2, { size: 3 }));
  x = relu(normalisedConvolution(p.at("conv3"), p.at("bn3"), x, width, { size: 3 }));
  x = averagePool(x, 2);
  for (const [stage, blocks] of layers.entries()) {
    for (const [i, block] of p.list(`layer${stage + 1}`, blocks).entries()) {
      x = bottleneck(block, x, width * 2 ** stage, stage > 0 && i === 0 ? 2 : 1);
    }
  }
  return spatialPool(heads, embedSize, p.at("attnpool"), x);
}

/** 1×1, 3×3, (pool), 1×1, added to the input, which is pooled and projected where shapes differ. */
function bottleneck(p: Parameters, x: Tensor, planes: number, stride: number): Tensor {
  const out = planes * EXPANSION;
  let y = relu(normalisedConvolution(p.at("conv1"), p.at("bn1"), x, planes, { size: 1 }));
  y = relu(normalisedConvolution(p.at("conv2"), p.at("bn2"), y, planes, { size: 3 }));
  y = normalisedConvolution(p.at("conv3"), p.at("bn3"), averagePool(y, stride), out, { size: 1 });
  const down = p.at("downsample");
  const same = stride === 1 && x.shape[1] === out;
  const shortcut = same
    ? x
    : normalisedConvolution(down.at("0"), down.at("1"), averagePool(x, stride), out, { size: 1 });
  return relu(add(y, shortcut));
}

/** A convolution without bias that keeps the sides (but for its stride), then batch normalisation. */
function normalisedConvolution(
  p: Parameters,
  norm: Parameters,
  x: Tensor,
  channels: number,
  { size, stride = 1 }: { readonly size: number; readonly stride?: number },
): Tensor {
  const kernel = p.get("weight", [channels, x.shape[1] as number, size, size]);
  const window = { stride, padding: (size - 1) / 2 };
  const gain = norm.get("weight", [channels]);
  const bias = norm.get("bias", [channels]);
  const runningMean = norm.statistic("running_mean", [channels]);
  const runningVariance = norm.statistic("running_var", [channels]);
  const overPlaces = (t: Tensor) => reshape(t, [channels, 1, 1]);

  if (!norm.measured) {
    const factor = div(gain, sqrt(add(runningVariance, EPSILON)));
    const y = convolution(x, mul(kernel, reshape(factor, [channels, 1, 1, 1])), window);
    return add(y, overPlaces(sub(bias, mul(runningMean, factor))));
  }
  const y = convolution(x, kernel, window);
  const [batch, , height, columns] = y.shape as readonly [number, number, number, number];
  if (typeof batch !== "number") throw new Error("batch normalisation in training needs the batch's size");
  const places = batch * height * columns;
  const meanOf = (t: Tensor) => mul(sum(t, [0, 2, 3]), 1 / places); // [1, C, 1, 1]
  const mean = meanOf(y);
  const centred = sub(y, mean);
  const variance = meanOf(mul(centred, centred));
  const running = (old: Tensor, now: Tensor) => add(mul(old, 1 - MOMENTUM), mul(reshape(now, [channels]), MOMENTUM));
  norm.measure("running_mean", running(runningMean, mean));
  norm.measure("running_var", running(runningVariance, mul(variance, places / (places - 1))));
  // Gain and deviation are two numbers a channel: one factor, so that the places are gone through once.
  const factor = div(reshape(gain, [1, channels, 1, 1]), sqrt(add(variance, EPSILON)));
  return add(mul(centred, factor), overPlaces(bias));
}
