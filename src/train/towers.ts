/**
 * @file A model's two towers, micro-batch by micro-batch, and the gradients of what they learn, which add up over a step.
 * Where those lie is another's business: in an arena (`arenaTowers.ts`) or on a device (`deviceTowers.ts`).
 */
import { imageTower, type Tower, textTower } from "../clip/index.js";
import { add, gradient, input, share, type Tensor } from "../graph/index.js";
import type { FloatTensor, TensorData } from "../runtime/index.js";
import type { TrainingBatch } from "./batch.js";
import type { Side } from "./contrast.js";
import { averageOutputs, gradientOf, portionOf } from "./differentiate.js";
import type { Task } from "./stepper.js";

export interface Towers {
  /** A new step's gradients: zeros, but for what belongs to no tower. */
  begin(ofNoTower: ReadonlyMap<string, number>): Promise<void>;
  /** A micro-batch's features of unit length, written into `features` `[B, E]`. Returns the new running averages. */
  encode(side: Side, part: TrainingBatch, features: FloatTensor): Promise<ReadonlyMap<string, Float32Array>>;
  /** Adds a micro-batch's gradients to the tower's. @param upstream the features' gradients `[B, E]` */
  backward(side: Side, part: TrainingBatch, upstream: TensorData): Promise<void>;
  /** Adds up a tower's gradients over the ranks; what belongs to no tower goes with the texts'. */
  sumOverRanks(side: Side): Promise<void>;
  dispose(): Promise<void>;
}

/** What a tower's program has been given of a parameter's gradient. */
export const sofarOf = (name: string): string => `sofar ${name}`;

/** Whether a parameter's gradient is added up with this tower's. */
export const belongsTo = (side: Side, name: string): boolean => name.startsWith("visual.") === (side === "image");

/** A tower's two graphs. */
export function towerGraphs(tower: Tower) {
  const encode = share({ features: tower.features, ...averageOutputs(tower.parameters.statistics()) });
  const features = encode.features!;
  const learned = [...tower.parameters.learned()];
  const found = gradient(
    features,
    learned.map(([, tensor]) => tensor),
    input("upstream", features.shape),
  );
  const backward = learned.map(([name, { shape }], i) => [
    gradientOf(name),
    add(input(sofarOf(name), shape), found[i]!),
  ]);
  return { encode, backward: Object.fromEntries(backward) as Record<string, Tensor> };
}

/** A tower's programs for one size of micro-batches. */
export interface TowerPrograms<P> {
  /** Features of unit length `[B, E]`, and new running averages. */
  readonly encode: P;
  /** From the features' gradients `upstream`, added to the gradients so far; null where nothing of the tower learns. */
  readonly backward: P | null;
}

type Outputs = Readonly<Record<string, Tensor>>;

/** The programs of both towers, compiled when first needed. */
export function towerPrograms<P extends { dispose(): Promise<void> }>(
  { config, learning }: Task,
  compile: Readonly<Record<keyof TowerPrograms<P>, (outputs: Outputs) => Promise<P>>>,
) {
  const options = { training: true, ...learning };
  const known = new Map<string, TowerPrograms<P>>();
  return {
    async of(side: Side, { size }: TrainingBatch): Promise<TowerPrograms<P>> {
      const key = side === "image" ? `${size} images` : "texts"; // of any number
      let found = known.get(key);
      if (!found) {
        const ofImages = { ...options, batch: size, imagesAtATime: portionOf(config) };
        const { encode, backward } = towerGraphs(
          side === "image" ? imageTower(config, ofImages) : textTower(config, options),
        );
        const learns = Object.keys(backward).length > 0;
        found = {
          encode: await compile.encode(encode),
          backward: learns ? await compile.backward(backward) : null,
        };
        known.set(key, found);
      }
      return found;
    },
    async dispose(): Promise<void> {
      for (const { encode, backward } of known.values()) {
        await encode.dispose();
        await backward?.dispose();
      }
    },
  };
}
