/** @file Training: from a recipe to a checkpoint, and its parts for those who write their own loop. */
export { AdamW } from "./adamw.js";
export { arenaLayout, arenaViews, isDecayed, type Layout, type Slot } from "./arena.js";
export type { TrainingBatch } from "./batch.js";
export { imagesAtATime } from "./differentiate.js";
export { createEma, type Ema } from "./ema.js";
export { arrayTaskOf, type Launch, launchOf, threadsOf } from "./launch.js";
export { layerRates } from "./layerDecay.js";
export { frozenBy, type Lock } from "./lock.js";
export { openRanks } from "./mpi.js";
export type { Hooks, Observer, OpenRun, StepReport, TrainPlan } from "./observer.js";
export { keptCount, keptPatches } from "./patchDropout.js";
export { alone, type Ranks } from "./ranks.js";
export { parseRecipe, type Recipe, recipeSchema } from "./recipe.js";

export { type PublishedRecipeName, publishedRecipes } from "./recipes.js";
export type { Remark } from "./remark.js";
export { learningRate, type Schedule } from "./schedule.js";
export type { SavedState, State } from "./state.js";
export { Trainer } from "./step.js";
export type { StepResult, TrainerOptions } from "./stepper.js";
export { type TrainOptions, type TrainResult, train } from "./train.js";
export type { AdamWOptions } from "./update.js";
export type { Validation } from "./validation.js";
export { type WatchOptions, watchRun } from "./watch.js";
