/**
 * @file Published recipes by name: how open_clip's models were trained, without the data, which the user has to have.
 * Sources: open_clip's README ("Sample single-process running code", "SLURM") and `docs/PRETRAINED.md` for RN50, RN101 and
 * LAION-400M; its `docs/script_examples/stability_example.sh` for LAION-5B; `scale_configs.py` of mlfoundations/datacomp,
 * which trains with open_clip, for DataComp. What they do not say is the default of open_clip's `params.py`.
 * Leaves out runs whose learning rate is not published, and colour augmentation (CLIPA).
 */

import type { z } from "zod";
import { presets } from "../clip/index.js";
import type { recipeSchema } from "./recipe.js";

type PublishedRecipe = Partial<Omit<z.input<typeof recipeSchema>, "data">>;

/** open_clip's defaults for a ViT; a gradient is not clipped. */
const defaults = {
  tokenizer: "clip",
  learningRate: 5e-4,
  weightDecay: 0.2,
  beta1: 0.9,
  beta2: 0.98,
  epsilon: 1e-6,
  clipNorm: null,
  schedule: "cosine",
  augment: { scale: [0.9, 1], flip: false },
} as const satisfies PublishedRecipe;

/** 8 processes with 128 pairs each; open_clip's defaults of β₂ and ε for whatever is no ViT. */
const resnet = { ...defaults, beta2: 0.999, epsilon: 1e-8, batchSize: 1024, warmup: 10_000, weightDecay: 0.1 } as const;

const gelu = (name: "ViT-B-32" | "ViT-B-16" | "ViT-L-14") => ({ ...presets[name], activation: "gelu" }) as const;

export const publishedRecipes = {
  "open_clip/RN50-cc3m": { ...resnet, model: "RN50", learningRate: 1e-3, epochs: 30 },
  "open_clip/RN50-yfcc15m": { ...resnet, model: "RN50", epochs: 32 },
  "open_clip/RN101-yfcc15m": { ...resnet, model: "RN101", epochs: 32 },
  /** 128 GPUs with 256 pairs each. */
  "open_clip/ViT-B-32-laion400m": { ...defaults, model: "ViT-B-32", batchSize: 32_768, warmup: 2000, epochs: 32 },
  /** 240 GPUs with 375 pairs each, 97 "epochs" of 135,646,078 pairs. */
  "open_clip/ViT-B-32-laion5b": {
    ...defaults,
    model: gelu("ViT-B-32"),
    batchSize: 90_000,
    learningRate: 1e-3,
    warmup: 2000,
    samples: 97 * 135_646_078,
  },
  "datacomp/small": { ...defaults, model: gelu("ViT-B-32"), batchSize: 4096, warmup: 500, samples: 12_800_000 },
  "datacomp/medium": { ...defaults, model: gelu("ViT-B-32"), batchSize: 4096, warmup: 500, samples: 128_000_000 },
  "datacomp/large": { ...defaults, model: gelu("ViT-B-16"), batchSize: 8192, warmup: 500, samples: 1_280_000_000 },
  "datacomp/xlarge": {
    ...defaults,
    model: gelu("ViT-L-14"),
    batchSize: 90_112,
    learningRate: 1e-3,
    beta2: 0.95,
    warmup: 10_000,
    samples: 12_800_000_000,
  },
} as const satisfies Readonly<Record<string, PublishedRecipe>>;

export type PublishedRecipeName = keyof typeof publishedRecipes;
