/**
 * @file A model in training. Its steps go over arenas in the process's memory, or stay on a device that can hold the state;
 * who wants the state asks for it, and gets it from wherever it is.
 */
import { type ClipConfig, cosines, defaultLoss, imageTower, parameterTable, textTower } from "../clip/index.js";
import type { Program, Runtime, TensorData } from "../runtime/index.js";
import { arenaLayout, arenaViews, type Layout } from "./arena.js";
import { createArenaStepper } from "./arenaStep.js";
import { type TrainingBatch, towerFeeds } from "./batch.js";
import { createDeviceStepper } from "./deviceStep.js";
import { frozenBy } from "./lock.js";
import { keptCount, patchesOf } from "./patchDropout.js";
import { alone, type Ranks } from "./ranks.js";
import { type SavedState, type State, startState } from "./state.js";
import type { Stepper, StepResult, Task, TrainerOptions } from "./stepper.js";

/** Held open until `dispose`. */
export class Trainer {
  /** Compiled when it is first asked for. */
  private comparison: Promise<Program> | undefined;

  private constructor(
    readonly layout: Layout,
    readonly options: TrainerOptions,
    private readonly task: Task,
    private readonly stepper: Stepper,
    private readonly runtime: Runtime,
  ) {}

  /**
   * @param values by name, for every parameter; copied.
   * @param ranks the processes that train this model together: every step's batch is one rank's share of the whole
   * @param saved where an earlier part of the run has come to; a new run unless given
   * @throws DiptychError "DamagedRun" where `saved` lacks something
   */
  static async create(
    config: ClipConfig,
    values: ReadonlyMap<string, { readonly data: Float32Array }>,
    options: TrainerOptions,
    runtime: Runtime,
    ranks: Ranks = alone,
    saved?: SavedState,
  ): Promise<Trainer> {
    const { lock, lora, ema, precision = "fp32", distillation, loss = defaultLoss(config), patchDropout } = options;
    const task: Task = {
      config,
      objective: { loss, distillation },
      learning: {
        lora,
        frozen: frozenBy(config, lock, lora),
        keptPatches: patchDropout === undefined ? undefined : keptCount(patchesOf(config), patchDropout),
      },
    };
    const layout = arenaLayout(parameterTable(config, task.learning));
    const start = startState(layout, values, ema !== undefined, saved);
    const steps = saved?.steps ?? 0;
    const share = options.batchSize / ranks.size;
    const surroundings = { runtime, ranks, share, microBatch: Math.min(options.microBatch ?? share, share) };
    // 8-bit integers are the CPU's.
    const stepper =
      runtime.memory && precision === "fp32"
        ? await createDeviceStepper(task, layout, start, steps, options, surroundings, runtime.memory)
        : await createArenaStepper(task, layout, start, steps, options, surroundings);
    return new Trainer(layout, options, task, stepper, runtime);
  }

  /** Updates done. */
  get steps(): number {
    return this.stepper.steps;
  }

  /** The last batch's gradients, where they come to the process's memory; laid out as what is learned. */
  get gradients(): Float32Array | null {
    return this.stepper.gradients;
  }

  /** The state as it is now, brought from the device where it lies there; good until the next step. */
  state(): Promise<State> {
    return this.stepper.state();
  }

  step(batch: TrainingBatch, learningRate: number): Promise<StepResult> {
    return this.stepper.step(batch, learningRate);
  }

  /** Cosine of each picture with each text of a batch, as the model is now: `[B, B]`, pictures along rows. */
  async similarities(batch: TrainingBatch): Promise<TensorData> {
    const { config, learning } = this.task;
    const { lora } = learning;
    this.comparison ??= this.runtime.compile({
      cosines: cosines(imageTower(config, { lora }).features, textTower(config, { lora }).features),
    });
    const program = await this.comparison;
    const { parameters } = await this.state();
    const feeds = { ...Object.fromEntries(arenaViews(this.layout, parameters)), ...towerFeeds(config, batch) };
    return (await program.run(feeds)).cosines!;
  }

  async dispose(): Promise<void> {
    await (await this.comparison)?.dispose();
    await this.stepper.dispose();
  }
}
