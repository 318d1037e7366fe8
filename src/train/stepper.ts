/** @file What a training step is asked for and answers with, and the two ways to do one: over arenas, or on a device. */
import type { ClipConfig, Distillation, Lora, Loss, ModelOptions, Objective } from "../clip/index.js";
import type { Precision, Runtime } from "../runtime/index.js";
import type { TrainingBatch } from "./batch.js";
import type { BatchReport } from "./differentiate.js";
import type { Lock } from "./lock.js";
import type { Ranks } from "./ranks.js";
import type { State } from "./state.js";
import type { AdamWOptions } from "./update.js";

export interface TrainerOptions extends AdamWOptions {
  /** Pairs in a step, over all ranks together. */
  readonly batchSize: number;
  /** Pairs whose activations are in memory at once; the whole batch of a rank unless given. */
  readonly microBatch?: number | undefined;
  /** The model's own unless given: softmax, or sigmoid where it has a logit bias. */
  readonly loss?: Loss | undefined;
  /** Every batch then brings its teacher's embeddings. */
  readonly distillation?: Distillation | undefined;
  /** Layers that stay as they are. */
  readonly lock?: Lock | undefined;
  /** Adapters learn, and nothing else. */
  readonly lora?: Lora | undefined;
  /** The learning rate's factor from layer to layer, downwards. */
  readonly layerDecay?: number | undefined;
  /** Most that the running average of the parameters keeps of itself at a step; none is kept unless given. */
  readonly ema?: number | undefined;
  /** Share of each picture's patches that is not looked at; batches then say which are. */
  readonly patchDropout?: number | undefined;
  /** In which numbers large products with weights are worked out; "fp32" unless given. */
  readonly precision?: Precision | undefined;
}

export interface StepResult extends BatchReport {
  /** Of all gradients, before clipping. */
  readonly gradientNorm: number;
  /** The factor exp(logit_scale), after the update. */
  readonly logitScale: number;
}

/** What is learned from a batch, and by what. */
export interface Task {
  readonly config: ClipConfig;
  readonly objective: Objective;
  /** Which parameters learn, adapters beside them, and what of the pictures is looked at. */
  readonly learning: Pick<ModelOptions, "lora" | "frozen" | "keptPatches">;
}

/** What a step is done with. */
export interface Surroundings {
  readonly runtime: Runtime;
  readonly ranks: Ranks;
  /** Pairs of this process in a step, and those whose activations are in memory at once: no more. */
  readonly share: number;
  readonly microBatch: number;
}

/** Whether a step can be one program. */
export const isWhole = ({ ranks, share, microBatch }: Surroundings): boolean =>
  ranks.size === 1 && microBatch === share;

/** One way to do a step, with the state that it changes. */
export interface Stepper {
  /** Updates done. */
  readonly steps: number;
  /** The gradients of the last batch, where they come to the process's memory. */
  readonly gradients: Float32Array | null;
  step(batch: TrainingBatch, learningRate: number): Promise<StepResult>;
  /** The state as it is now, in the process's memory; good until the next step. */
  state(): Promise<State>;
  dispose(): Promise<void>;
}
