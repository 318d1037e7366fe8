/**
 * @file A batch's gradients micro-batch by micro-batch, as if it were learned from at once (GradCache: Gao et al. 2021;
 * open_clip's `--accum-freq`): features of all, their gradients by the loss of the whole batch, then each micro-batch
 * again, backwards from its features' gradients. What is in memory at once is one tower's activations of one micro-batch.
 * Ranks share the batch; the pictures' gradients are added up between them while the texts' are computed.
 *
 * Batch normalisation takes the statistics of a micro-batch, in both runs the same; the running averages move once a
 * step, by the mean over micro-batches and ranks.
 */
import { imageTower, type Tower, textTower } from "../clip/index.js";
import { add, gradient, input, share, type Tensor } from "../graph/index.js";
import type { Program, TensorData } from "../runtime/index.js";
import { type Layout, partsOf } from "./arena.js";
import { microBatches, type TrainingBatch, teacherOf, towerFeeds } from "./batch.js";
import { createContrast, type Sides } from "./contrast.js";
import { averageOutputs, averagesOf, type Differentiator, type Model, portionOf } from "./differentiate.js";
import type { Ranks } from "./ranks.js";

/** A tower's programs for one size of micro-batches. */
interface TowerPrograms {
  /** Features of unit length `[B, E]`, and new running averages. */
  readonly encode: Program;
  /** From the features' gradients `upstream`, added to the gradients `sofar`; null where nothing of the tower learns. */
  readonly backward: Program | null;
}

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
  const backward = learned.map(([name, { shape }], i) => [`d ${name}`, add(input(`sofar ${name}`, shape), found[i]!)]);
  return { encode, backward: Object.fromEntries(backward) as Record<string, Tensor> };
}

async function compileTower({ compile }: Model, tower: Tower): Promise<TowerPrograms> {
  const { encode, backward } = towerGraphs(tower);
  const learns = Object.keys(backward).length > 0;
  return {
    encode: await compile(encode, { givesBack: true }),
    backward: learns ? await compile(backward, { givesBack: true }) : null,
  };
}

/** @param microBatch pairs whose activations are in memory at once */
export async function createCached(
  model: Model,
  microBatch: number,
  layout: Layout,
  ranks: Ranks,
): Promise<Differentiator> {
  const { config, learning } = model;
  const { embedSize } = config;
  const options = { training: true, ...learning };
  const text = await compileTower(model, textTower(config, options));
  const imageBySize = new Map<number, TowerPrograms>();
  const programsFor = async ({ size }: TrainingBatch): Promise<Sides<TowerPrograms>> => {
    const known = imageBySize.get(size);
    if (known) return { image: known, text };
    const tower = imageTower(config, { ...options, batch: size, imagesAtATime: portionOf(config) });
    const image = await compileTower(model, tower);
    imageBySize.set(size, image);
    return { image, text };
  };
  const contrast = await createContrast(model, ranks);

  const parameters = Object.fromEntries(model.parameters);
  const rename = (prefix: string) =>
    Object.fromEntries([...model.gradients].map(([name, view]) => [`${prefix} ${name}`, view]));
  const [sofar, into] = [rename("sofar"), rename("d")];
  const isOf: Sides<(name: string) => boolean> = {
    image: (name) => name.startsWith("visual."),
    text: (name) => !name.startsWith("visual."),
  };
  /** Adds up a tower's gradients over the ranks. */
  const sumOverRanks = async (side: keyof Sides<unknown>): Promise<void> => {
    for (const [from, to] of partsOf(layout, isOf[side])) await ranks.sum(model.arena.subarray(from, to));
  };

  return {
    async differentiate(batch) {
      const parts = microBatches(batch, microBatch);
      const rowsOf = (all: Float32Array, i: number): TensorData => ({
        data: all.subarray(i * microBatch * embedSize, (i * microBatch + parts[i]!.size) * embedSize),
        shape: [parts[i]!.size, embedSize],
      });
      const matrices = () => ({
        image: new Float32Array(batch.size * embedSize),
        text: new Float32Array(batch.size * embedSize),
      });
      const [features, upstream] = [matrices(), matrices()];

      // ---- encode
      const averages: Averages = new Map();
      for (const [i, part] of parts.entries()) {
        const programs = await programsFor(part);
        for (const side of ["image", "text"] as const) {
          const feeds = { ...parameters, ...towerFeeds(config, part) };
          const results = await programs[side].encode.run(feeds, { features: rowsOf(features[side], i) });
          addAverages(averages, averagesOf(results), part.size / (batch.size * ranks.size));
        }
      }

      // ---- contrast
      model.arena.fill(0);
      const teacher = teacherOf(model.objective, config, batch);
      const report = await contrast.run(features, batch.group, teacher, upstream);

      // ---- backward: the pictures' gradients travel between ranks while the texts' are computed
      let travelling = Promise.resolve();
      for (const side of ["image", "text"] as const) {
        for (const [i, part] of parts.entries()) {
          const { backward } = (await programsFor(part))[side];
          const feeds = { ...parameters, ...sofar, ...towerFeeds(config, part), upstream: rowsOf(upstream[side], i) };
          await backward?.run(feeds, into);
        }
        await travelling;
        travelling = sumOverRanks(side);
      }
      await travelling;
      for (const average of averages.values()) await ranks.sum(average);
      return { ...report, statistics: averages };
    },

    async dispose() {
      await contrast.dispose();
      for (const { encode, backward } of [text, ...imageBySize.values()]) {
        await encode.dispose();
        await backward?.dispose();
      }
    },
  };
}

type Averages = Map<string, Float32Array>;

/** Adds `weight` times the running averages of a micro-batch. */
function addAverages(averages: Averages, found: ReadonlyMap<string, Float32Array>, weight: number): void {
  for (const [name, values] of found) {
    const sum = averages.get(name) ?? new Float32Array(values.length);
    averages.set(
      name,
      sum.map((value, i) => value + weight * values[i]!),
    );
  }
}
