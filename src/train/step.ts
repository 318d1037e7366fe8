/**
 * @file One training step: loss and gradients of a batch in one program, then the update.
 * Parameters, gradients and moments live in arenas; the program reads and writes views of them.
 */
import { type ClipConfig, contrastiveModel, inputSides, type Lora, parameterTable } from "../clip/index.js";
import { gradient, share } from "../graph/index.js";
import { type Precision, type Program, type Runtime, type TensorData, withPrecision } from "../runtime/index.js";
import { AdamW, type AdamWOptions } from "./adamw.js";
import { arenaLayout, arenaViews, type Layout } from "./arena.js";
import { createEma, type Ema } from "./ema.js";
import { layerRates } from "./layerDecay.js";
import { frozenBy, type Lock } from "./lock.js";
import { alone, type Ranks } from "./ranks.js";

/** exp of it stays in [1, 100], as in the paper (§2.5). */
const LOGIT_SCALE_RANGE = [0, Math.log(100)] as const;

/** So many pictures' activations pass from one operator to the next within the cache; 7% faster than whole batches. */
export const imagesAtATime = 16;

export interface TrainingBatch {
  /** Normalised, `[B, 3, H, W]`. */
  readonly pixels: Float32Array;
  /** `[B, L]`. */
  readonly ids: Int32Array;
  readonly length: number;
  readonly size: number;
  /** `[B]`: rows with the same number have the same caption. */
  readonly group: Int32Array;
}

export interface TrainerOptions extends AdamWOptions {
  /** Pairs in a step, over all ranks together. */
  readonly batchSize: number;
  /** Pairs whose activations are in memory at once; the whole batch of a rank unless given. */
  readonly microBatch?: number | undefined;
  /** Layers that stay as they are. */
  readonly lock?: Lock | undefined;
  /** Adapters learn, and nothing else. */
  readonly lora?: Lora | undefined;
  /** The learning rate's factor from layer to layer, downwards. */
  readonly layerDecay?: number | undefined;
  /** Most that the running average of the parameters keeps of itself at a step; none is kept unless given. */
  readonly ema?: number | undefined;
  /** In which numbers large products with weights are worked out; "fp32" unless given. */
  readonly precision?: Precision | undefined;
}

export interface StepResult {
  /** Before the update. */
  readonly loss: number;
  /** Share of pictures whose best text, and of texts whose best picture, in the batch is one of their own. */
  readonly imageAccuracy: number;
  readonly textAccuracy: number;
  /** Of all gradients, before clipping. */
  readonly gradientNorm: number;
  /** The factor exp(logit_scale), after the update. */
  readonly logitScale: number;
}

interface Differentiated {
  readonly loss: number;
  readonly logits: TensorData;
  readonly statistics: ReadonlyMap<string, Float32Array>;
}

/** A model in training, held open until `dispose`. */
export class Trainer {
  private constructor(
    readonly layout: Layout,
    readonly parameters: Float32Array,
    readonly gradients: Float32Array,
    readonly optimiser: AdamW,
    private readonly program: Program,
    private readonly config: ClipConfig,
    readonly options: TrainerOptions,
    /** The parameters' running average, where one is kept. */
    readonly ema: Ema | null,
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
    const { lock, lora, layerDecay = 1, ema, precision = "fp32" } = options;
    const learning = { lora, frozen: frozenBy(config, lock, lora) };
    const layout = arenaLayout(parameterTable(config, learning));
    const parameters = new Float32Array(layout.length);
    for (const [name, view] of arenaViews(layout, parameters)) view.data.set(values.get(name)!.data);
    const model = contrastiveModel(config, {
      batch: options.batchSize / ranks.size,
      training: true,
      ...learning,
      // A model with a logit bias judges each pair alone, as SigLIP does; its scale is left free.
      loss: config.logitBias ? "sigmoid" : "softmax",
      ...(config.image.kind === "vit" && { imagesAtATime }),
    });
    const outputs = share({
      loss: model.loss,
      logits: model.logits,
      ...Object.fromEntries([...model.statistics].flatMap(([name, value]) => (value ? [[`new ${name}`, value]] : []))),
    });
    const gradients = gradient(outputs.loss!, [...model.parameters.values()]);
    const differentiated = {
      ...outputs,
      ...Object.fromEntries([...model.parameters.keys()].map((name, i) => [`d ${name}`, gradients[i]!])),
    };
    const program = await runtime.compile(await withPrecision(precision, differentiated, model.stored.keys(), runtime));
    const optimiser = await AdamW.create(layout, options, runtime, layerRates(config, layerDecay));
    const average = ema === undefined ? null : await createEma(parameters, layout.learned, ema, runtime);
    const gradientArena = new Float32Array(layout.learned);
    return new Trainer(layout, parameters, gradientArena, optimiser, program, config, options, average);
  }

  /** Views of the parameters by name, live. */
  named(): Map<string, { readonly data: Float32Array; readonly shape: readonly number[] }> {
    return arenaViews(this.layout, this.parameters);
  }

  /** Loss, logits and new running averages of a batch; its gradients go to the gradient arena. */
  async differentiate(batch: TrainingBatch): Promise<Differentiated> {
    const feeds: Record<string, TensorData> = {
      pixels: { data: batch.pixels, shape: [batch.size, 3, ...inputSides(this.config)] },
      ids: { data: batch.ids, shape: [batch.size, batch.length] },
      group: { data: batch.group, shape: [batch.size] },
      ...Object.fromEntries(this.named()),
    };
    const into = Object.fromEntries(
      [...arenaViews(this.layout, this.gradients)].map(([name, view]) => [`d ${name}`, view]),
    );
    const results = await this.program.run(feeds, into);
    const statistics = new Map(
      Object.entries(results).flatMap(([name, { data }]) =>
        name.startsWith("new ") ? [[name.slice(4), data as Float32Array] as const] : [],
      ),
    );
    return { loss: Number(results.loss!.data[0]), logits: results.logits!, statistics };
  }

  async step(batch: TrainingBatch, learningRate: number): Promise<StepResult> {
    const { loss, logits, statistics } = await this.differentiate(batch);
    const named = this.named();
    for (const [name, data] of statistics) named.get(name)!.data.set(data);
    const gradientNorm = await this.optimiser.step(this.parameters, this.gradients, learningRate);
    const scale = named.get("logit_scale")!.data;
    const [lowest, highest] = LOGIT_SCALE_RANGE;
    if (!this.config.logitBias && !this.options.lora) scale[0] = Math.min(Math.max(scale[0]!, lowest), highest);
    await this.ema?.update(this.parameters, this.optimiser.steps);
    return {
      loss,
      ...accuracies(logits.data as Float32Array, batch.group),
      gradientNorm,
      logitScale: Math.exp(scale[0]!),
    };
  }

  async dispose(): Promise<void> {
    await this.program.dispose();
    await this.optimiser.dispose();
    await this.ema?.dispose();
  }
}

function accuracies(logits: Float32Array, group: Int32Array): { imageAccuracy: number; textAccuracy: number } {
  const size = group.length;
  const rightAlong = (stride: number, step: number) => {
    let right = 0;
    for (let i = 0; i < size; i++) {
      let best = 0;
      for (let j = 1; j < size; j++) {
        if (logits[i * stride + j * step]! > logits[i * stride + best * step]!) best = j;
      }
      if (group[best] === group[i]) right++;
    }
    return right / size;
  };
  return { imageAccuracy: rightAlong(size, 1), textAccuracy: rightAlong(1, size) };
}
