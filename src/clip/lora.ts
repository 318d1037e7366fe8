/**
 * @file Low-rank adapters (Hu et al. 2022, LoRA): a frozen matrix W `[out, in]` is used as W + (alpha / rank)·B·A, and only
 * A `[rank, in]` and B `[out, rank]` learn. The layers ask for adapters where they use a matrix (`layers.ts`) and apply them
 * to the tokens, so that no gradient of W's size is made; merged, the model is one like any other.
 */
import { z } from "zod";
import type { Tensor } from "../graph/index.js";

export const loraSchema = z.strictObject({
  /** Rows of A: what an adapter can say. 4 to 16 are usual. */
  rank: z.number().int().positive(),
  /** The product B·A counts alpha / rank times. */
  alpha: z.number().positive(),
  /** The matrices of which halves of the blocks, in both towers. */
  targets: z.enum(["attention", "mlp", "both"]).default("both"),
});
export type Lora = z.infer<typeof loraSchema>;

export interface Adapter {
  /** `[rank, in]` */
  readonly a: Tensor;
  /** `[out, rank]` */
  readonly b: Tensor;
  readonly scale: number;
}

const attention = /(?:attn|attnpool)\.(?:in_proj_|out_proj\.|[qkvc]_proj\.)weight$/;
const mlp = /mlp\.c_(?:fc|proj)\.weight$/;
const targets = { attention: [attention], mlp: [mlp], both: [attention, mlp] } as const;

export const isAdapted = (lora: Lora, matrix: string): boolean =>
  targets[lora.targets].some((pattern) => pattern.test(matrix));

/** Adapters are parameters, named after their matrix. */
export const adapterNames = (matrix: string) => ({ a: `${matrix}.lora_A`, b: `${matrix}.lora_B` }) as const;

export const isAdapter = (name: string): boolean => /\.lora_[AB]$/.test(name);

type Values = ReadonlyMap<string, { readonly data: Float32Array; readonly shape: readonly number[] }>;

/** The parameters without adapters, each adapted matrix replaced by what it is used as; sums in float64. */
export function mergeAdapters(lora: Lora, parameters: Values): Values {
  const merged = [...parameters].flatMap(([name, value]) => {
    if (isAdapter(name)) return [];
    const names = adapterNames(name);
    const [a, b] = [parameters.get(names.a), parameters.get(names.b)];
    return [[name, a && b ? { ...value, data: plusProduct(lora, value.data, b.data, a.data) } : value] as const];
  });
  return new Map(merged);
}

/** W + (alpha / rank)·B·A. */
function plusProduct({ rank, alpha }: Lora, w: Float32Array, b: Float32Array, a: Float32Array): Float32Array {
  const inputs = a.length / rank;
  const factors = Float64Array.from(b, (value) => (value * alpha) / rank);
  return w.map((value, i) => {
    const [row, column] = [Math.floor(i / inputs), i % inputs];
    let sum = value;
    for (let r = 0; r < rank; r++) sum += factors[row * rank + r]! * a[r * inputs + column]!;
    return sum;
  });
}
