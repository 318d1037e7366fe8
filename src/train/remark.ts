/** @file What the diagnostician sees of a run, and what it says. */
import type { StepReport } from "./observer.js";
import type { Validation } from "./validation.js";

export type Severity = "note" | "warning" | "error";

/** One line of `remarks.jsonl`. */
export interface Remark {
  /** Stable; may be matched. */
  readonly code: string;
  readonly severity: Severity;
  readonly step: number;
  /** What is to be seen, with its numbers. */
  readonly what: string;
  /** What that does to the run, or where it comes from. */
  readonly why: string;
  readonly suggestion: string;
}

export type Finding = Pick<Remark, "what" | "why" | "suggestion">;

/** A rule is silent while `finds` answers undefined. */
export interface Rule {
  readonly code: string;
  readonly severity: Severity;
  readonly finds: (seen: Seen) => Finding | undefined;
}

/** A step and its batch. */
export interface Moment extends StepReport {
  /** Share of the other rows of its batch that say the same as a row, on average: they are no negatives of it. */
  readonly sameCaption: number;
  /** Share of the batch's rows whose picture is the same file as another row's. */
  readonly samePicture: number;
}

/** What does not change during a run. */
export interface RunFacts {
  readonly batchSize: number;
  readonly pairs: number;
  /** Peak. */
  readonly learningRate: number;
  /** Steps. */
  readonly warmup: number;
  readonly clipNorm: number | null;
  /** InfoNCE alone: its scale is clamped, and its loss without knowledge is ln(batch). */
  readonly softmax: boolean;
  /** Begun from trained weights. */
  readonly fineTuning: boolean;
}

export type Recalls = Pick<Validation, "step" | "textToImage" | "imageToText">;

/** All that a rule may look at. */
export interface Seen {
  readonly run: RunFacts;
  /** The last steps, at most `windowSize`, the newest last. */
  readonly window: readonly Moment[];
  /** All, the newest last. */
  readonly validations: readonly Recalls[];
}

/** Long enough that one odd batch decides nothing, short enough to speak early. */
export const windowSize = 50;
