/**
 * @file The parameters of a model by open_clip's names. A tower asks for what it needs, with its shape, where it uses
 * it; so the towers are the only place where shapes are written, and tracing them gives the table of a model.
 */
import { input, type Tensor } from "../graph/index.js";
import { type Adapter, adapterNames, isAdapted, type Lora } from "./lora.js";

export interface ParametersOptions {
  /** Batch normalisation uses, and notes, the statistics of the batch. */
  readonly training?: boolean;
  /** Adapters beside the matrices, which are asked for where the matrices are used. */
  readonly lora?: Lora | undefined;
  /** Of a full name: whether the parameter stays as it is, and batch normalisation with it. */
  readonly frozen?: ((name: string) => boolean) | undefined;
}

/** What one tracing of a model has asked for. */
interface Trace {
  /** Every tensor of a checkpoint, in the order of first use. */
  readonly tensors: Map<string, Tensor>;
  /** Those among them that are measured, not learned: running averages. In training, with their new values. */
  readonly statistics: Map<string, Tensor | null>;
  readonly options: ParametersOptions;
}

/** A scope in the tree of names: `parameters.at("visual").get("proj", [768, 512])` is `visual.proj`. */
export class Parameters {
  private constructor(
    private readonly trace: Trace,
    private readonly prefix: string,
  ) {}

  static root(options: ParametersOptions = {}): Parameters {
    return new Parameters({ tensors: new Map(), statistics: new Map(), options }, "");
  }

  /** Whether a batch normalisation of this scope uses the statistics of the batch instead of its running averages. */
  get measured(): boolean {
    const { training = false, frozen } = this.trace.options;
    return training && !frozen?.(`${this.prefix}weight`);
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

  /** The low-rank addition to the matrix `name` `[out, in]`, where one is trained. */
  adapter(name: string, [out, inputs]: readonly [number, number]): Adapter | undefined {
    const { lora } = this.trace.options;
    if (!lora || !isAdapted(lora, this.prefix + name)) return undefined;
    const names = adapterNames(name);
    const [a, b] = [this.get(names.a, [lora.rank, inputs]), this.get(names.b, [out, lora.rank])];
    return { a, b, scale: lora.alpha / lora.rank };
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

  /** What is learned: all but the statistics and what is frozen. */
  learned(): ReadonlyMap<string, Tensor> {
    const { frozen } = this.trace.options;
    return new Map([...this.trace.tensors].filter(([name]) => !this.trace.statistics.has(name) && !frozen?.(name)));
  }

  /** The statistics, with their new values where they are measured. */
  statistics(): ReadonlyMap<string, Tensor | null> {
    return this.trace.statistics;
  }
}
