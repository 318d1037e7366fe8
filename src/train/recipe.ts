/**
 * @file What a training run is told: one JSON file, checked before anything is opened.
 * A misspelt key is refused with the nearest known name.
 */
import { z } from "zod";
import { clipSchema, type PresetName, presets } from "../clip/index.js";
import { DiptychError, nearestName } from "../errors.js";

const presetNames = Object.keys(presets) as [PresetName, ...PresetName[]];
const count = z.number().int().positive();

export const recipeSchema = z.strictObject({
  /** A preset's name, or all sizes. The vocabulary size is that of the tokenizer, whatever stands here. */
  model: z.union([z.enum(presetNames), clipSchema]),
  /** Where pairs come from (see `SourceSpec` in the data room); relative paths start from the recipe's folder. */
  data: z.unknown(),
  /** A size to learn a vocabulary from the captions, `"clip"` for CLIP's own 49,408 words. */
  tokenizer: z.union([z.literal("clip"), z.strictObject({ vocabularySize: count })]).default({ vocabularySize: 4096 }),
  /** Pairs in a step; every pair has all others of its batch as negatives. */
  batchSize: count,
  epochs: z.number().positive(),
  /** Peak learning rate. 5e-4 for a ViT-B at batch 32,768; small models on small batches take 1e-3. */
  learningRate: z.number().positive(),
  /** Steps over which the learning rate rises from 0. */
  warmup: z.number().int().nonnegative(),
  weightDecay: z.number().nonnegative().default(0.2),
  beta1: z.number().min(0).max(1).default(0.9),
  /** 0.98 rather than 0.999: the second moment must forget within ~50 steps, or early spikes stall a ViT. */
  beta2: z.number().min(0).max(1).default(0.98),
  epsilon: z.number().positive().default(1e-6),
  /** Longest gradient (Euclidean norm over all parameters); longer ones are scaled down. null: no limit. */
  clipNorm: z.number().positive().nullable().default(1),
  augment: z
    .strictObject({
      /** Share of the picture's area that a random crop keeps. */
      scale: z.tuple([z.number().positive(), z.number().max(1)]),
      /** Mirror every other picture. Not for pictures of text. */
      flip: z.boolean(),
    })
    .nullable()
    .default({ scale: [0.9, 1], flip: false }),
  seed: z.number().int().nonnegative().default(0),
  /** Steps between saves. */
  saveEvery: count.default(500),
  /** Checkpoints that stay when newer ones are saved. */
  keep: count.default(2),
  /** Pairs whose activations are in memory at once: memory depends on it, the contrastive batch does not. All unless given. */
  microBatch: count.optional(),
});
export type Recipe = z.infer<typeof recipeSchema>;

/** @throws DiptychError "UnknownOption", "InvalidRecipe" */
export function parseRecipe(given: unknown): Recipe {
  const result = recipeSchema.safeParse(given);
  if (result.success) return result.data;
  const issue = tellingIssue(result.error.issues);
  const place = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const known = Object.keys(recipeSchema.shape);
    throw new DiptychError(
      "UnknownOption",
      `${place ? `In a recipe, "${place}"` : "A recipe"} has no option "${issue.keys[0]}".`,
      place
        ? "Correct its name."
        : `Did you mean "${nearestName(issue.keys[0]!, known)}"? Known are ${known.join(", ")}.`,
    );
  }
  throw new DiptychError(
    "InvalidRecipe",
    `${place ? `In the recipe, "${place}"` : "The recipe"} is wrong: ${issue.message}.`,
    "Correct it.",
  );
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
