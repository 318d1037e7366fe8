/**
 * @file The parameters of a model by open_clip's names. A tower asks for what it needs, with its shape, where it uses
 * it; so the towers are the only place where shapes are written, and tracing them gives the table of a model.
 */
import { input, type Tensor } from "../graph/index.js";

/** A scope in the tree of names: `parameters.at("visual").get("proj", [768, 512])` is `visual.proj`. */
export class Parameters {
  constructor(
    private readonly known: Map<string, Tensor> = new Map(),
    private readonly prefix = "",
  ) {}

  at(name: string): Parameters {
    return new Parameters(this.known, `${this.prefix}${name}.`);
  }

  /** The scopes `name.0` to `name.(count − 1)`. */
  list(name: string, count: number): Parameters[] {
    return Array.from({ length: count }, (_, i) => this.at(`${name}.${i}`));
  }

  get(name: string, shape: readonly number[]): Tensor {
    const full = this.prefix + name;
    const tensor = this.known.get(full) ?? input(full, shape);
    this.known.set(full, tensor);
    return tensor;
  }

  /** Every parameter asked for so far, in the order of first use. */
  all(): ReadonlyMap<string, Tensor> {
    return this.known;
  }
}
