/**
 * @file Those who watch a run, or take part in it from outside: a progress line, TensorBoard files, a validation. An
 * observer is a function that is given the open run before its first step and answers with what it wants to be told.
 */
import type { ClipConfig } from "../clip/index.js";
import type { Batch, Source } from "../data/index.js";
import type { PreprocessConfig } from "../image/index.js";
import type { PicturePool } from "../image/node.js";
import type { Tokenizer } from "../tokenizer/index.js";
import type { TrainingBatch } from "./batch.js";
import type { Recipe } from "./recipe.js";
import type { Trainer } from "./step.js";
import type { StepResult } from "./stepper.js";
import type { Validation } from "./validation.js";

/** One line of `log.jsonl`. */
export interface StepReport extends StepResult {
  /** Counts from 0 over the whole run. */
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  readonly learningRate: number;
  readonly seconds: number;
  readonly pairsPerSecond: number;
  /** Share of the step's time spent waiting for data. */
  readonly waiting: number;
  /** Texts of this process's share that were longer than the context, and were cut. */
  readonly truncated: number;
}

export interface TrainPlan {
  readonly pairs: number;
  readonly steps: number;
  readonly firstStep: number;
}

/** A run under way. */
export interface OpenRun {
  readonly recipe: Recipe;
  /** The run's folder. */
  readonly out: string;
  /** Folder that relative paths in the recipe start from. */
  readonly base: string;
  readonly source: Source;
  readonly pool: PicturePool;
  readonly config: ClipConfig;
  readonly preprocess: PreprocessConfig;
  readonly tokenizer: Tokenizer;
  readonly trainer: Trainer;
  readonly plan: TrainPlan;
  /** Saves and ends the run after the step under way; it is finished then. */
  stop(): void;
}

/** What is awaited is part of the step. */
export interface Hooks {
  /** Also told of a step whose loss is no number, behind which the run ends. */
  readonly onStep?: (report: StepReport, batch: Batch & TrainingBatch) => unknown;
  readonly onValidation?: (validation: Validation) => unknown;
  /** A checkpoint of the state after `step` steps is on the disk. */
  readonly onSave?: (folder: string, step: number) => unknown;
  /** The run has ended, well or not. */
  readonly onEnd?: () => unknown;
}

export type Observer = (run: OpenRun) => Hooks | Promise<Hooks>;
