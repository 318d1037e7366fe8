/** @file Published architectures by open_clip's names (sizes: Radford et al. 2021, tables 18–20), and small ones of ours. */
import type { ClipConfig } from "./config.js";

const vit = (imageSize: number, patchSize: number, width: number, layers: number, heads = width / 64) =>
  ({ kind: "vit", imageSize, patchSize, width, layers, heads, mlpWidth: 4 * width }) as const;
const text = (width: number, heads: number, layers = 12, contextLength = 77, vocabularySize = 49408) =>
  ({ contextLength, vocabularySize, width, layers, heads, mlpWidth: 4 * width }) as const;
const resnet = (imageSize: number, width: number, layers: [number, number, number, number]) =>
  ({ kind: "resnet", imageSize, width, layers, heads: (width * 32) / 64 }) as const satisfies ClipConfig["image"];
const clip = (embedSize: number, image: ClipConfig["image"], textTower: ClipConfig["text"]): ClipConfig => ({
  embedSize,
  activation: "quick_gelu",
  image,
  text: textTower,
});

/** The activation is OpenAI's; other weights of the same sizes may want `gelu`. */
export const presets = {
  RN50: clip(1024, resnet(224, 64, [3, 4, 6, 3]), text(512, 8)),
  RN101: clip(512, resnet(224, 64, [3, 4, 23, 3]), text(512, 8)),
  RN50x4: clip(640, resnet(288, 80, [4, 6, 10, 6]), text(640, 10)),
  RN50x16: clip(768, resnet(384, 96, [6, 8, 18, 8]), text(768, 12)),
  RN50x64: clip(1024, resnet(448, 128, [3, 15, 36, 10]), text(1024, 16)),
  "ViT-B-32": clip(512, vit(224, 32, 768, 12), text(512, 8)),
  "ViT-B-16": clip(512, vit(224, 16, 768, 12), text(512, 8)),
  "ViT-L-14": clip(768, vit(224, 14, 1024, 24), text(768, 12)),
  "ViT-L-14-336": clip(768, vit(336, 14, 1024, 24), text(768, 12)),
  /** For pictures of 64×64 on a laptop's CPU; the model in the box. */
  "ViT-mini": clip(256, vit(64, 8, 192, 6), text(192, 3, 4, 24, 4096)),
  /** For tests: learns eight pairs in seconds. */
  "ViT-test": clip(32, vit(32, 8, 32, 2, 2), text(32, 2, 2, 16, 600)),
} as const satisfies Readonly<Record<string, ClipConfig>>;

export type PresetName = keyof typeof presets;
