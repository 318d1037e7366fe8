/**
 * @file What all SigLIPs share (Zhai et al. 2023; big_vision's `two_towers.py`), and the published picture towers as timm
 * names them and open_clip's configs ask for them. Follows timm 1.0 (`vision_transformer.py`, `vit_*_siglip_*`): whether
 * one uses the exact GELU or its approximation is no rule there but a fact of each name, and open_clip follows timm.
 * Leaves out every other picture tower of timm.
 */
import type { Activation, ClipConfig, TextConfig, VitConfig } from "../clip/index.js";
import { openaiPreprocess, type PreprocessConfig } from "../image/index.js";

type TowerSizes = Pick<VitConfig, "width" | "layers" | "heads" | "mlpWidth">;

/** No class token; a probe pools, and what it finds is the embedding. */
export const siglipImage = (imageSize: VitConfig["imageSize"], patchSize: number, sizes: TowerSizes): VitConfig => ({
  kind: "vit",
  imageSize,
  patchSize,
  ...sizes,
  epsilon: 1e-6,
  classToken: false,
  patchBias: true,
  preNorm: false,
  attentionPool: { kind: "probe", heads: sizes.heads, mlpWidth: sizes.mlpWidth },
  projection: false,
});

/** All tokens see all; the last, which is padding in all but the longest texts, stands for the text. */
export const siglipText = (sizes: TextConfig): TextConfig => ({
  ...sizes,
  epsilon: 1e-6,
  causal: false,
  pool: "last",
  projection: "linear",
});

export const siglipPreprocess = (size: PreprocessConfig["size"]): PreprocessConfig => ({
  ...openaiPreprocess(size),
  mean: [0.5, 0.5, 0.5],
  std: [0.5, 0.5, 0.5],
  resize: "squash",
});

export const isSiglip = ({ image }: ClipConfig): boolean =>
  image.kind === "vit" && image.attentionPool?.kind === "probe";

const sizes = {
  base: { width: 768, layers: 12, heads: 12, mlpWidth: 3072 },
  large: { width: 1024, layers: 24, heads: 16, mlpWidth: 4096 },
  so400m: { width: 1152, layers: 27, heads: 16, mlpWidth: 4304 },
  giantopt: { width: 1536, layers: 40, heads: 16, mlpWidth: 6144 },
} as const satisfies Readonly<Record<string, TowerSizes>>;

const published: readonly {
  readonly size: keyof typeof sizes;
  readonly patchSize: number;
  readonly imageSizes: readonly number[];
  readonly activation: Activation;
}[] = [
  { size: "base", patchSize: 32, imageSizes: [256], activation: "gelu_tanh" },
  { size: "base", patchSize: 16, imageSizes: [224, 256, 384, 512], activation: "gelu" },
  { size: "large", patchSize: 16, imageSizes: [256, 384], activation: "gelu" },
  { size: "large", patchSize: 16, imageSizes: [512], activation: "gelu_tanh" },
  { size: "so400m", patchSize: 14, imageSizes: [224, 378, 384], activation: "gelu" },
  { size: "so400m", patchSize: 16, imageSizes: [256, 384, 512], activation: "gelu_tanh" },
  { size: "giantopt", patchSize: 16, imageSizes: [256, 384], activation: "gelu_tanh" },
];

const towers = published.flatMap(({ size, patchSize, imageSizes, activation }) =>
  imageSizes.map((imageSize) => ({
    name: `vit_${size}_patch${patchSize}_siglip_${imageSize}`,
    image: siglipImage(imageSize, patchSize, sizes[size]),
    activation,
  })),
);

/** The tower of a name, for pictures of the size that the config says; undefined for other names. */
export function siglipTower(
  name: string,
  imageSize: VitConfig["imageSize"],
): { readonly image: VitConfig; readonly activation: Activation } | undefined {
  const found = towers.find((tower) => tower.name === name);
  return found && { image: { ...found.image, imageSize }, activation: found.activation };
}

/** The name of a tower; undefined where timm has none of these sizes with this activation. */
export const timmName = (image: VitConfig, activation: Activation): string | undefined =>
  towers.find(
    (tower) =>
      tower.activation === activation &&
      (["imageSize", "patchSize", "width", "layers"] as const).every((key) => tower.image[key] === image[key]),
  )?.name;
