/**
 * @file One training step: the gradients of a batch, then the update. Parameters, gradients and moments live in arenas;
 * programs read and write views of them.
 */
import {
  type ClipConfig,
  cosines,
  type Distillation,
  defaultLoss,
  imageTower,
  type Lora,
  type Loss,
  parameterTable,
  textTower,
} from "../clip/index.js";
import { type Precision, type Program, type Runtime, type TensorData, withPrecision } from "../runtime/index.js";
import { AdamW, type AdamWOptions } from "./adamw.js";
import { arenaLayout, arenaViews, type Layout, type Views } from "./arena.js";
import { type TrainingBatch, towerFeeds } from "./batch.js";
import { createCached } from "./cached.js";
import type { BatchReport, Differentiated, Differentiator, Model } from "./differentiate.js";
import { createEma, type Ema } from "./ema.js";
import { createFused } from "./fused.js";
import { layerRates } from "./layerDecay.js";
import { frozenBy, type Lock } from "./lock.js";
import { keptCount, patchesOf } from "./patchDropout.js";
import { alone, type Ranks } from "./ranks.js";

/** exp of it stays in [1, 100], as in the paper (§2.5). */
const LOGIT_SCALE_RANGE = [0, Math.log(100)] as const;

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

/** A model in training, held open until `dispose`. */
export class Trainer {
  /** Compiled when it is first asked for. */
  private comparison: Promise<Program> | undefined;

  private constructor(
    readonly layout: Layout,
    readonly parameters: Float32Array,
    readonly gradients: Float32Array,
    readonly optimiser: AdamW,
    readonly options: TrainerOptions,
    /** The parameters' running average, where one is kept. */
    readonly ema: Ema | null,
    private readonly model: Model,
    private readonly differentiator: Differentiator,
  ) {}

  /**
   * @param values by name, for every parameter; copied.
   * @param ranks the processes that train this model together: every step's batch is one rank's share of the whole
   */
  static async create(
    config: ClipConfig,
    values: ReadonlyMap<string, { readonly data: Float32Array }>,
    options: TrainerOptions,
    runtime: Runtime,
    ranks: Ranks = alone,
  ): Promise<Trainer> {
    const { lock, lora, layerDecay = 1, ema, precision = "fp32", distillation, loss = defaultLoss(config) } = options;
    const { patchDropout } = options;
    const learning = {
      lora,
      frozen: frozenBy(config, lock, lora),
      keptPatches: patchDropout === undefined ? undefined : keptCount(patchesOf(config), patchDropout),
    };
    const layout = arenaLayout(parameterTable(config, learning));
    const [parameters, gradients] = [new Float32Array(layout.length), new Float32Array(layout.learned)];
    const views = arenaViews(layout, parameters);
    for (const [name, view] of views) view.data.set(values.get(name)!.data);
    const model: Model = {
      config,
      objective: { loss, distillation },
      learning,
      parameters: views,
      gradients: arenaViews(layout, gradients),
      arena: gradients,
      runtime,
      compile: async (outputs, how) =>
        runtime.compile(await withPrecision(precision, outputs, views.keys(), runtime), how),
    };
    const share = options.batchSize / ranks.size;
    const { microBatch = share } = options;
    const differentiator =
      ranks.size === 1 && microBatch >= share
        ? await createFused(model, share)
        : await createCached(model, Math.min(microBatch, share), layout, ranks);
    const optimiser = await AdamW.create(layout, options, runtime, layerRates(config, layerDecay));
    const average = ema === undefined ? null : await createEma(parameters, layout.learned, ema, runtime);
    return new Trainer(layout, parameters, gradients, optimiser, options, average, model, differentiator);
  }

  /** Views of the parameters by name, live. */
  named(): Views {
    return this.model.parameters;
  }

  /** What a batch says, and its new running averages; its gradients go to their arena. Not yet the update. */
  differentiate(batch: TrainingBatch): Promise<Differentiated> {
    return this.differentiator.differentiate(batch);
  }

  async step(batch: TrainingBatch, learningRate: number): Promise<StepResult> {
    const { parameters, config } = this.model;
    const { statistics, ...report } = await this.differentiate(batch);
    for (const [name, data] of statistics) parameters.get(name)!.data.set(data);
    const gradientNorm = await this.optimiser.step(this.parameters, this.gradients, learningRate);
    const scale = parameters.get("logit_scale")!.data;
    const [lowest, highest] = LOGIT_SCALE_RANGE;
    if (!config.logitBias && !this.options.lora) scale[0] = Math.min(Math.max(scale[0]!, lowest), highest);
    await this.ema?.update(this.parameters, this.optimiser.steps);
    return { ...report, gradientNorm, logitScale: Math.exp(scale[0]!) };
  }

  /** Cosine of each picture with each text of a batch, as the model is now: `[B, B]`, pictures along rows. */
  async similarities(batch: TrainingBatch): Promise<TensorData> {
    const { config, learning, parameters, runtime } = this.model;
    const { lora } = learning;
    this.comparison ??= runtime.compile({
      cosines: cosines(imageTower(config, { lora }).features, textTower(config, { lora }).features),
    });
    const program = await this.comparison;
    return (await program.run({ ...Object.fromEntries(parameters), ...towerFeeds(config, batch) })).cosines!;
  }

  async dispose(): Promise<void> {
    await (await this.comparison)?.dispose();
    await this.differentiator.dispose();
    await this.optimiser.dispose();
    await this.ema?.dispose();
  }
}
