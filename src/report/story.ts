/** @file What a page about a training run is made of: its logs, read. Values that are null were no finite numbers. */
export interface RunStory {
  /** What the run is called: its folder's name. */
  readonly name: string;
  readonly state: "running" | "finished" | "stopped early" | "unfinished";
  readonly recipe: Readonly<Record<string, unknown>>;
  /** By rising step. */
  readonly steps: readonly StoryStep[];
  readonly remarks: readonly StoryRemark[];
  /** Recalls on held-out pairs, by rising step. */
  readonly validations: readonly StoryValidation[];
  /** The probe's pairs. */
  readonly pairs: readonly StoryPair[];
  /** What the model made of them, by rising step. */
  readonly probes: readonly StoryProbe[];
}

export interface StoryStep {
  /** Counts from 0. */
  readonly step: number;
  /** Of the whole run. */
  readonly steps: number;
  readonly epoch: number;
  readonly loss: number | null;
  readonly imageAccuracy: number;
  readonly textAccuracy: number;
  readonly logitScale: number;
  readonly gradientNorm: number | null;
  readonly learningRate: number;
  readonly seconds: number;
  readonly pairsPerSecond: number;
  readonly waiting: number;
}

export interface StoryRemark {
  readonly code: string;
  readonly severity: "note" | "warning" | "error";
  readonly step: number;
  readonly what: string;
  readonly why: string;
  readonly suggestion: string;
}

interface Recall {
  readonly "recall@1": number;
}

export interface StoryValidation {
  readonly step: number;
  /** Whether nothing before was as good. */
  readonly best: boolean;
  readonly textToImage: Recall;
  readonly imageToText: Recall;
}

export interface StoryPair {
  readonly caption: string;
  /** A data URI. */
  readonly picture: string;
}

export interface StoryProbe {
  /** Steps done before. */
  readonly step: number;
  /** Cosines: a row a picture, a column a caption. */
  readonly similarities: readonly (readonly number[])[];
}
