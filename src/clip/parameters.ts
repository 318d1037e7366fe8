/**
 * @file The parameters of a model by open_clip's names. A tower asks for what it needs, with its shape, where it uses
 * it; so the towers are the only place where shapes are written, and tracing them gives the table of a model.
 */
import { input, type Tensor } from "../graph/index.js";

/** What one tracing of a model has asked for. */
interface Trace {
  /** Every tensor of a checkpoint, in the order of first use. */
  readonly tensors: Map<string, Tensor>;
  /** Those among them that are measured, not learned: running averages. In training, with their new values. */
  readonly statistics: Map<string, Tensor | null>;
  /** Batch statistics instead of running averages. */
  readonly training: boolean;
}

/** A scope in the tree of names: `parameters.at("visual").get("proj", [768, 512])` is `visual.proj`. */
export class Parameters {
  private constructor(
    private readonly trace: Trace,
    private readonly prefix: string,
  ) {}

  /** The root. `training` makes batch normalisation use, and note, the statistics of the batch. */
  static root({ training = false } = {}): Parameters {
    return new Parameters({ tensors: new Map(), statistics: new Map(), training }, "");
  }

  get training(): boolean {
    return this.trace.training;
  }

  at(name: string): Parameters {
    return new Parameters(this.trace, `${this.prefix}${name}.`);
  }

  /** The scopes `name.0` to `name.(count − 1)`. */
  list(name: string, count: number): Parameters[] {
    return Array.from({ length: count }, (_, i) => this.at(`${name}.${i}`));
  }

  get(name: string, shape: readonly number[]): Tensor {
    const full = this.prefix + name;
    const tensor = this.trace.tensors.get(full) ?? input(full, shape);
    this.trace.tensors.set(full, tensor);
    return tensor;
  }

  /** A running average: stored like a parameter, but measured. */
  statistic(name: string, shape: readonly number[]): Tensor {
    const tensor = this.get(name, shape);
    const full = this.prefix + name;
    if (!this.trace.statistics.has(full)) this.trace.statistics.set(full, null);
    return tensor;
  }

  /** Notes a running average's value after this batch. */
  measure(name: string, value: Tensor): void {
    this.trace.statistics.set(this.prefix + name, value);
  }

  /** Everything that a checkpoint stores. */
  all(): ReadonlyMap<string, Tensor> {
    return this.trace.tensors;
  }

  /** What is learned: all but the statistics. */
  learned(): ReadonlyMap<string, Tensor> {
    return new Map([...this.trace.tensors].filter(([name]) => !this.trace.statistics.has(name)));
  }

  /** The statistics, with their new values where the model was traced in training. */
  statistics(): ReadonlyMap<string, Tensor | null> {
    return this.trace.statistics;
  }
}
