/**
 * @file What a training run is told: one JSON file, checked before anything is opened.
 * A misspelt key is refused with the nearest known name.
 */
import { z } from "zod";
import { knownKeys } from "../checkpoint/index.js";
import { clipSchema, distillationSchema, loraSchema, lossSchema, type PresetName, presets } from "../clip/index.js";
import { DiptychError, nearestName } from "../errors.js";
import { lockSchema } from "./lock.js";
import { scheduleSchema } from "./schedule.js";
import { teacherSchema } from "./teacher.js";
import { validationSchema } from "./validation.js";

const presetNames = Object.keys(presets) as [PresetName, ...PresetName[]];
const count = z.number().int().positive();

export const recipeSchema = z.strictObject({
  /** For editors: where they find what a recipe may say (`assets/recipe.schema.json`). */
  $schema: z.string().optional(),
  /** A preset's name, or all sizes. The vocabulary size is that of the tokenizer, whatever stands here. */
  model: z.union([z.enum(presetNames), clipSchema]).optional(),
  /** Where pairs come from (see `SourceSpec` in the data room); relative paths start from the recipe's folder. */
  data: z.unknown(),
  /** A size to learn a vocabulary from the captions (4,096 unless given), `"clip"` for CLIP's own 49,408 words. */
  tokenizer: z.union([z.literal("clip"), z.strictObject({ vocabularySize: count })]).optional(),
  /** Pairs in a step; every pair has all others of its batch as negatives. */
  batchSize: count,
  /** Passes over the data, also a fraction. */
  epochs: z.number().positive().optional(),
  /** Pairs to train on, in place of `epochs`. */
  samples: count.optional(),
  /** Peak learning rate. 5e-4 for a ViT-B at batch 32,768; small models on small batches take 1e-3. */
  learningRate: z.number().positive(),
  /** Steps over which the learning rate rises from 0. */
  warmup: z.number().int().nonnegative(),
  /** Of AdamW: decoupled, times the learning rate; not on gains and biases. */
  weightDecay: z.number().nonnegative().default(0.2),
  /** Of AdamW: what the first moment keeps from step to step. */
  beta1: z.number().min(0).max(1).default(0.9),
  /** 0.98 rather than 0.999: the second moment must forget within ~50 steps, or early spikes stall a ViT. */
  beta2: z.number().min(0).max(1).default(0.98),
  /** Of AdamW. */
  epsilon: z.number().positive().default(1e-6),
  /** Longest gradient (Euclidean norm over all parameters); longer ones are scaled down. null: no limit. */
  clipNorm: z.number().positive().nullable().default(1),
  /** How a picture differs from epoch to epoch; null: the centre crop, as in evaluation. */
  augment: z
    .strictObject({
      /** Share of the picture's area that a random crop keeps, at least and at most. */
      scale: z.tuple([z.number().positive(), z.number().max(1)]).default([0.9, 1]),
      /** Mirror every other picture. Not for pictures of text. */
      flip: z.boolean().default(false),
    })
    .nullable()
    .prefault({}),
  /** Of the first parameters, the order, the crops and the choice of captions. */
  seed: z.number().int().nonnegative().default(0),
  /** Steps between saves. */
  saveEvery: count.default(500),
  /** Checkpoints that stay when newer ones are saved. */
  keep: count.default(2),
  /** Pairs whose activations are in memory at once: memory depends on it, the contrastive batch does not. All unless given. */
  microBatch: count.optional(),
  /**
   * A checkpoint to go on from instead of random values: a path from the recipe's folder, or a published model's name. Its
   * sizes, tokenizer and preprocessing are taken; `model` and `tokenizer` are left out.
   */
  from: z.string().optional(),
  /** How the learning rate goes on behind warm-up: half a cosine or a straight line to 0, or as it is. */
  schedule: scheduleSchema.default("cosine"),
  /** Last steps, over which what the schedule says falls to 0 in a straight line. */
  cooldown: z.number().int().nonnegative().default(0),
  /** Layers that stay as they are: `true` for a tower, or `{ unlockedFrom: k }`. */
  lock: lockSchema.optional(),
  /** The learning rate's factor from layer to layer, downwards: 0.7 makes a block learn 0.7 times as fast as the next one. */
  layerDecay: z.number().positive().max(1).optional(),
  /** Low-rank adapters learn, and nothing else; the checkpoint has them merged. */
  lora: loraSchema.optional(),
  /** The checkpoint holds a running average of the parameters, of which a step keeps so much (0.9999). */
  ema: z.number().min(0).max(1).optional(),
  /** Share of each picture's patches that a training step does not look at (FLIP); none at inference. For a ViT. */
  patchDropout: z.number().min(0).lt(1).optional(),
  /** Retrieval on held-out pairs as the run goes, with the best model kept, and early stopping. */
  validation: validationSchema.optional(),
  /** "int8": large products with weights in 8-bit integers, for CPUs (docs/int8.md). */
  precision: z.enum(["fp32", "int8"]).default("fp32"),
  /** `{ "kind": "softmax" }` or `{ "kind": "sigmoid" }`; the latter where the model has a logit bias, unless given. */
  loss: lossSchema.optional(),
  /** The embeddings of the `teacher` are learned from besides. */
  distillation: distillationSchema.optional(),
  /** A larger CLIP, run once over all data, whose embeddings come with every pair, for `distillation`. */
  teacher: teacherSchema.optional(),
});

type Keys = z.infer<typeof recipeSchema>;
type Start =
  | { readonly from: string; readonly model?: undefined }
  | { readonly from?: undefined; readonly model: NonNullable<Keys["model"]> };
type Length =
  | { readonly epochs: number; readonly samples?: undefined }
  | { readonly samples: number; readonly epochs?: undefined };
export type Recipe = Omit<Keys, keyof Start | keyof Length> & Start & Length;

/** @throws DiptychError "UnknownOption", "InvalidRecipe" */
export function parseRecipe(given: unknown): Recipe {
  const result = recipeSchema.safeParse(given);
  if (result.success) {
    const { epochs, samples, ...rest } = result.data;
    if (rest.distillation && !rest.teacher) {
      const remedy = 'Name the larger CLIP: "teacher": { "model": "ViT-L/14" }.';
      throw new DiptychError("InvalidRecipe", 'The recipe has "distillation", but no "teacher".', remedy);
    }
    return { ...withStart(rest), ...runLength(epochs, samples) };
  }
  const issue = tellingIssue(result.error.issues);
  const place = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const key = issue.keys[0]!;
    const known = knownKeys(recipeSchema, issue.path);
    throw new DiptychError(
      "UnknownOption",
      `${place ? `In a recipe, "${place}"` : "A recipe"} has no option "${key}".`,
      `Did you mean "${nearestName(key, known)}"? Known are ${known.join(", ")}.`,
    );
  }
  throw new DiptychError(
    "InvalidRecipe",
    `${place ? `In the recipe, "${place}"` : "The recipe"} is wrong: ${issue.message}.`,
    "Correct it.",
  );
}

/** A run starts from sizes or from a checkpoint, which has its sizes and its tokenizer. */
function withStart({ from, model, ...rest }: Omit<Keys, keyof Length>): Omit<Keys, keyof Start | keyof Length> & Start {
  const given = { model, tokenizer: rest.tokenizer };
  if (from !== undefined) {
    const twice = (["model", "tokenizer"] as const).find((key) => given[key] !== undefined);
    if (!twice) return { ...rest, from };
    throw new DiptychError(
      "InvalidRecipe",
      `The recipe gives "${twice}" beside "from".`,
      `Leave "${twice}" out: the checkpoint has its own.`,
    );
  }
  if (model !== undefined) return { ...rest, model };
  throw new DiptychError(
    "InvalidRecipe",
    'The recipe says neither "model" nor "from".',
    "Name a preset to train from scratch, or a checkpoint to go on from.",
  );
}

function runLength(epochs: number | undefined, samples: number | undefined): Length {
  if (epochs !== undefined && samples === undefined) return { epochs };
  if (samples !== undefined && epochs === undefined) return { samples };
  const problem = epochs === undefined ? 'neither "epochs" nor "samples"' : 'both "epochs" and "samples"';
  throw new DiptychError("InvalidRecipe", `The recipe says ${problem}.`, "Say how long the run is in one of them.");
}

/** The issue that says most: a name that is not known first; of alternatives, the one that was meant. */
function tellingIssue(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  const issue = issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0]!;
  if (issue.code !== "invalid_union") return issue;
  const alternatives = issue.errors.flat();
  // an alternative that was not meant is wrong at its root
  const meant = alternatives.filter(({ code, path }) => code === "unrecognized_keys" || path.length > 0);
  const inner = tellingIssue(meant.length > 0 ? meant : alternatives);
  return { ...inner, path: [...issue.path, ...inner.path] };
}
