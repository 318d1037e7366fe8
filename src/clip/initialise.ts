/**
 * @file Initial values. Text tower, embeddings and projections as in OpenAI's `initialize_parameters` (clip/model.py);
 * the picture tower's convolution and blocks as PyTorch initialises them, which OpenAI and open_clip leave untouched.
 */
import type { ClipConfig } from "./config.js";
import { type ParameterSpec, parameterTable } from "./model.js";

/** Normal with a standard deviation, uniform up to ± a bound, or one value. */
interface Fill {
  readonly kind: "normal" | "uniform" | "value";
  readonly size: number;
}
const normal = (size: number): Fill => ({ kind: "normal", size });
const uniform = (size: number): Fill => ({ kind: "uniform", size });
const value = (size: number): Fill => ({ kind: "value", size });

/** First pattern that fits decides. W width, L layers, I inputs of the linear map: `shape[1]`. */
const rules: readonly (readonly [RegExp, (config: ClipConfig, shape: readonly number[]) => Fill])[] = [
  // adapters as in PEFT: Kaiming's bound with a slope of √5, and no effect to begin with
  [/\.lora_A$/, (_, [, inputs]) => uniform(inputs! ** -0.5)],
  [/\.lora_B$/, () => value(0)],
  // SigLIP (big_vision): a flatter softmax to begin with, and a bias that says "no pair" to all
  [/^logit_scale$/, ({ logitBias }) => value(logitBias ? Math.log(10) : Math.log(1 / 0.07))],
  [/^logit_bias$/, () => value(-10)],
  [/\.gamma$/, () => value(1e-4)],
  [/layer\d\.\d+\.bn3\.weight$/, () => value(0)],
  [/head_scale$|running_var$|(ln|ln_\w+|bn\d|downsample\.1)\.weight$/, () => value(1)],
  [/running_mean$|(ln|ln_\w+|bn\d|downsample\.1|attn\.out_proj)\.bias$|in_proj_bias$/, () => value(0)],
  [/^visual\.(class_embedding|positional_embedding|proj)$/, ({ image }) => normal(image.width ** -0.5)],
  [/^visual\.attn_pool\.(query|probe)$/, (_, [, width]) => normal(width! ** -0.5)],
  // attention pool of a ModifiedResNet: I inputs of `c_proj`, as OpenAI has it for all four
  [/^visual\.attnpool\.positional_embedding$/, (_, [, width]) => normal(width! ** -0.5)],
  [/^visual\.attnpool\.\w_proj\.weight$/, (_, [, inputs]) => normal(inputs! ** -0.5)],
  [/^visual\.attnpool\.\w_proj\.bias$/, ({ image }) => uniform((image.width * 32) ** -0.5)],
  // fan-in of the kernel: C·k·k
  [
    /conv\d\.weight$|downsample\.0\.weight$/,
    (_, [, channels, height, width]) => uniform((channels! * height! * width!) ** -0.5),
  ],
  [/^visual\.conv1\.bias$/, ({ image }) => uniform(patchInputs(image) ** -0.5)],
  // Xavier over the joined projection: √(6 / (I + 3·I))
  [/^visual\..*(in_proj_weight|_proj_weight)$/, (_, [out, inputs]) => uniform(Math.sqrt(6 / (inputs! + out!)))],
  [/^visual\..*(out_proj|c_fc|c_proj)\.weight$/, (_, [, inputs]) => uniform(inputs! ** -0.5)],
  [/^visual\..*c_fc\.bias$/, ({ image }) => uniform(image.width ** -0.5)],
  [/^visual\..*c_proj\.bias$/, ({ image }) => uniform(hiddenWidth(image) ** -0.5)],
  [/^token_embedding\.weight$/, () => normal(0.02)],
  [/^(positional_embedding|cls_emb)$/, () => normal(0.01)],
  [/in_proj_weight$/, ({ text }) => normal(text.width ** -0.5)],
  [/(out_proj|c_proj)\.weight$/, ({ text }) => normal(text.width ** -0.5 * (2 * text.layers) ** -0.5)],
  [/c_fc\.weight$/, ({ text }) => normal((2 * text.width) ** -0.5)],
  [/c_fc\.bias$/, ({ text }) => uniform(text.width ** -0.5)],
  [/c_proj\.bias$/, ({ text }) => uniform(text.mlpWidth ** -0.5)],
  [/^text_projection(\.weight)?$/, ({ text }) => normal(text.width ** -0.5)],
  [/^text_projection\.bias$/, () => value(0)],
];

const patchInputs = (image: ClipConfig["image"]) => (image.kind === "vit" ? 3 * image.patchSize ** 2 : 27);
const hiddenWidth = (image: ClipConfig["image"]) => (image.kind === "vit" ? image.mlpWidth : image.width);

/** Fresh values for every parameter of a table, in its order. `random` gives uniform numbers in [0, 1). */
export function initialise(
  config: ClipConfig,
  random: () => number,
  table: readonly ParameterSpec[] = parameterTable(config),
): Map<string, { data: Float32Array; shape: readonly number[] }> {
  const standardNormal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()); // Box–Muller
  return new Map(
    table.map(({ name, shape }) => {
      const rule = rules.find(([pattern]) => pattern.test(name));
      if (!rule) throw new Error(`no initialisation for ${name}`);
      const fill = rule[1](config, shape);
      const draw = {
        value: (size: number) => size,
        uniform: (size: number) => size * (2 * random() - 1),
        normal: (size: number) => size * standardNormal(),
      }[fill.kind];
      const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => draw(fill.size));
      return [name, { data, shape }];
    }),
  );
}
