/**
 * @file What `diptych doctor` puts in: texts, pictures drawn by a formula, two small models of seeded weights. What the
 * references make of them lies in `assets/doctor.json`, written by `scripts/build-doctor.mjs` from this very file.
 */
import type { Checkpoint, Parameter } from "../checkpoint/index.js";
import { type ClipConfig, parameterTable } from "../clip/index.js";
import {
  channelsOf,
  openaiPreprocess,
  type Picture,
  type PictureMode,
  type PreprocessConfig,
  randomStream,
} from "../image/index.js";

export const texts: readonly string[] = [
  "a photo of a cat",
  "A PHOTO of   a Dog's 2 bowls!!!",
  "You should've seen it, didn't you?",
  "naïve café, Straße, ΣΊΣΥΦΟΣ",
  "schÃ¶n dass es funktioniert",
  "&lt;b&gt;fish &amp;amp; chips&lt;/b&gt;",
  "“quoted” … ﬁne ＡＢＣ",
  "雪の中の犬 🐶🏽👩‍👩‍👧",
  "line one\r\n\tline\u00a0two\u2028three",
  "1234567890 3.14 #hash @user http://example.org/?a=b",
  "Ünïcödé e\u0301 n\u0303 İstanbul",
  "don’t stop—believin'…",
];

/** Names of pictures of every mode but the palette, whose drawing would need one. */
const modes = ["RGB", "L", "LA", "RGBA", "1", "I;16", "CMYK"] as const satisfies readonly PictureMode[];

/** A picture in which no two rows, columns or channels are alike. */
export function drawPicture(mode: (typeof modes)[number], width = 97, height = 61): Picture {
  const channels = channelsOf[mode];
  const samples = Array.from({ length: width * height * channels }, (_, i) => {
    const [x, y, c] = [Math.floor(i / channels) % width, Math.floor(i / (channels * width)), i % channels];
    return x * x * 7 + y * y * 3 + x * y * (5 + c) + 85 * c;
  });
  const size = { width, height };
  if (mode === "I;16") return { mode, ...size, data: Uint16Array.from(samples, (sample) => sample % 700) };
  const whole = mode === "1" ? (sample: number) => (sample & 128 ? 255 : 0) : (sample: number) => sample & 255;
  return { mode, ...size, data: Uint8Array.from(samples, whole) };
}

export interface Crop {
  readonly mode: (typeof modes)[number];
  readonly config: PreprocessConfig;
}

export const crops: readonly Crop[] = [
  ...modes.map((mode) => ({ mode, config: openaiPreprocess(48) })),
  { mode: "RGB", config: openaiPreprocess(80) },
  { mode: "RGB", config: { ...openaiPreprocess(48), resize: "squash", interpolation: "bilinear" } },
  { mode: "RGB", config: { ...openaiPreprocess(48), resize: "longest", fill: 127 } },
];

const text = { contextLength: 16, vocabularySize: 64, width: 24, layers: 2, heads: 2, mlpWidth: 96 };
const vit = { kind: "vit", imageSize: 32, patchSize: 8, width: 32, layers: 2, heads: 2, mlpWidth: 128 } as const;
const resnet = { kind: "resnet", imageSize: 32, layers: [1, 1, 1, 1], width: 8, heads: 4 } as const;

const configs: Readonly<Record<string, ClipConfig>> = {
  "ViT, QuickGELU": { embedSize: 16, activation: "quick_gelu", image: vit, text },
  "ViT, GELU": { embedSize: 16, activation: "gelu", image: vit, text },
  ResNet: { embedSize: 16, activation: "quick_gelu", image: { ...resnet, layers: [...resnet.layers] }, text },
};

export interface DoctorModel {
  readonly name: string;
  readonly checkpoint: Checkpoint;
  /** Two pictures and two texts, the second shorter than the context. */
  readonly pixels: { readonly data: Float32Array; readonly shape: readonly [2, 3, 32, 32] };
  readonly ids: { readonly data: Int32Array; readonly shape: readonly [2, 16] };
}

export function doctorModels(): DoctorModel[] {
  return Object.entries(configs).map(([name, config]) => {
    const random = randomStream([1]);
    const noise = () => 2 * random() - 1;
    const parameters = new Map(parameterTable(config).map(({ name, shape }) => [name, seeded(name, shape, noise)]));
    const pixels = Float32Array.from({ length: 2 * 3 * 32 * 32 }, () => 2 * noise());
    const ids = Int32Array.from({ length: 2 * 16 }, (_, i) =>
      i === 15 || i === 24 ? 63 : i > 24 ? 0 : Math.floor(62 * random()),
    );
    return {
      name,
      checkpoint: { config, preprocess: openaiPreprocess(32), tokenizer: null, parameters, origin: "seeded weights" },
      pixels: { data: pixels, shape: [2, 3, 32, 32] },
      ids: { data: ids, shape: [2, 16] },
    };
  });
}

/** Gains and variances about 1, biases and means about 0, matrices of unit gain; no value is special. */
function seeded(name: string, shape: readonly number[], noise: () => number): Parameter {
  const size = shape.reduce((product, dim) => product * dim, 1);
  const isGain = shape.length === 1 && /\.(weight|running_var)$/.test(name);
  const spread = shape.length > 1 ? 2 / Math.sqrt(size / shape[0]!) : 0.2;
  return { shape, data: Float32Array.from({ length: size }, () => (isGain ? 1 : 0) + spread * noise()) };
}
