/** @file A batch's loss and gradients in one program: the fastest way, for one process and a batch whose activations fit. */
import { contrastiveModel, cosines, l2Normalise } from "../clip/index.js";
import { argMax, gradient, share, sum } from "../graph/index.js";
import type { TensorData } from "../runtime/index.js";
import { microBatches, type TrainingBatch, teacherOf, towerFeeds } from "./batch.js";
import {
  averageOutputs,
  averagesOf,
  type Differentiator,
  type Model,
  meanCosine,
  portionOf,
  rightRows,
} from "./differentiate.js";

/** Of texts in the order of their lengths, so many are about equally long, and enough to fill the matrix products. */
const textsAtATime = 32;

export async function createFused(model: Model, batch: number): Promise<Differentiator> {
  const { config, objective, learning } = model;
  const graph = contrastiveModel(config, {
    batch,
    training: true,
    objective,
    ...learning,
    imagesAtATime: portionOf(config),
    textsAtATime,
  });
  const [images, texts] = [l2Normalise(graph.imageFeatures), l2Normalise(graph.textFeatures)];
  const outputs = share({
    loss: graph.loss,
    bestText: argMax(cosines(images, texts), 1),
    bestImage: argMax(cosines(images, texts), 0),
    imageSum: sum(images, [0]),
    textSum: sum(texts, [0]),
    ...averageOutputs(graph.statistics),
  });
  const gradients = gradient(outputs.loss!, [...graph.parameters.values()]);
  const program = await model.compile({
    ...outputs,
    ...Object.fromEntries([...graph.parameters.keys()].map((name, i) => [`d ${name}`, gradients[i]!])),
  });
  const parameters = Object.fromEntries(model.parameters);
  const into = Object.fromEntries([...model.gradients].map(([name, view]) => [`d ${name}`, view]));
  return {
    async differentiate(pairs) {
      const { group, size } = pairs;
      const teacher = teacherOf(objective, config, pairs);
      const { ids: _inPortions, ...ofPictures } = towerFeeds(config, pairs);
      const results = await program.run(
        {
          ...parameters,
          ...ofPictures,
          ...textFeeds(pairs),
          group: { data: group, shape: [size] },
          ...(teacher && { teacher_image: teacher.image, teacher_text: teacher.text }),
        },
        into,
      );
      return {
        loss: Number(results.loss!.data[0]),
        imageAccuracy: rightRows(results.bestText!, group, group) / size,
        textAccuracy: rightRows(results.bestImage!, group, group) / size,
        imageCosine: meanCosine(results.imageSum!.data as Float32Array, size),
        textCosine: meanCosine(results.textSum!.data as Float32Array, size),
        statistics: averagesOf(results),
      };
    },
    dispose: () => program.dispose(),
  };
}

const textFeeds = (pairs: TrainingBatch): Record<string, TensorData> =>
  Object.fromEntries(
    microBatches(pairs, textsAtATime).map(({ ids, size, length }, i) => [
      `ids ${i}`,
      { data: ids, shape: [size, length] },
    ]),
  );
