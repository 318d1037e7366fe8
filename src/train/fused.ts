/** @file A batch's loss and gradients in one graph: the fastest way, for one process and a batch whose activations fit. */
import { contrastiveModel, cosines, l2Normalise } from "../clip/index.js";
import { argMax, formatShape, gradient, share, sum, type Tensor } from "../graph/index.js";
import type { TensorData } from "../runtime/index.js";
import { microBatches, type TrainingBatch, teacherOf, towerFeeds } from "./batch.js";
import {
  averageOutputs,
  averagesOf,
  type BatchReport,
  type Differentiator,
  gradientOf,
  type Model,
  meanCosine,
  portionOf,
  rightRows,
} from "./differentiate.js";
import type { Task } from "./stepper.js";

/** Of texts in the order of their lengths, so many are about equally long, and enough to fill the matrix products. */
const textsAtATime = 32;

/** A batch's graph: what it says, its new running averages, and the gradient of its loss by every parameter that learns. */
export function batchGraph({ config, objective, learning }: Task, batch: number) {
  const graph = contrastiveModel(config, {
    batch,
    training: true,
    objective,
    ...learning,
    imagesAtATime: portionOf(config),
    textsAtATime,
  });
  const [images, texts] = [l2Normalise(graph.imageFeatures), l2Normalise(graph.textFeatures)];
  const { loss, ...others } = share({
    loss: graph.loss,
    bestText: argMax(cosines(images, texts), 1),
    bestImage: argMax(cosines(images, texts), 0),
    imageSum: sum(images, [0]),
    textSum: sum(texts, [0]),
    ...averageOutputs(graph.statistics),
  });
  const gradients = gradient(loss!, [...graph.parameters.values()]);
  return {
    outputs: { loss: loss!, ...others },
    stored: graph.stored,
    gradients: new Map(Array.from(graph.parameters.keys(), (name, i) => [name, gradients[i]!])),
  };
}

/** The inputs of `batchGraph` that are not parameters. @throws DiptychError "NoTeacher", "TeacherWidth" */
export function batchFeeds({ config, objective }: Task, pairs: TrainingBatch): Record<string, TensorData> {
  const { group, size } = pairs;
  const teacher = teacherOf(objective, config, pairs);
  const { ids: _inPortions, ...ofPictures } = towerFeeds(config, pairs);
  return {
    ...ofPictures,
    ...textFeeds(pairs),
    group: { data: group, shape: [size] },
    ...(teacher && { teacher_image: teacher.image, teacher_text: teacher.text }),
  };
}

/** What the outputs of `batchGraph` say. */
export const batchReport = (
  results: Readonly<Record<string, TensorData>>,
  { group, size }: TrainingBatch,
): BatchReport => ({
  loss: Number(results.loss!.data[0]),
  imageAccuracy: rightRows(results.bestText!, group, group) / size,
  textAccuracy: rightRows(results.bestImage!, group, group) / size,
  imageCosine: meanCosine(results.imageSum!.data as Float32Array, size),
  textCosine: meanCosine(results.textSum!.data as Float32Array, size),
});

export async function createFused(model: Model, batch: number): Promise<Differentiator> {
  const { outputs, gradients } = batchGraph(model, batch);
  const program = await model.compile({
    ...outputs,
    ...Object.fromEntries(Array.from(gradients, ([name, tensor]) => [gradientOf(name), tensor])),
  });
  const parameters = Object.fromEntries(model.parameters);
  // Arrays for all that it makes, so that nothing is copied.
  const into = {
    ...Object.fromEntries([...model.gradients].map(([name, view]) => [gradientOf(name), view])),
    ...Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, arrayFor(tensor)])),
  };
  return {
    async differentiate(pairs) {
      const results = await program.run({ ...parameters, ...batchFeeds(model, pairs) }, into);
      return { ...batchReport(results, pairs), statistics: averagesOf(results) };
    },
    dispose: () => program.dispose(),
  };
}

/** @throws where its size depends on what is fed */
function arrayFor({ shape, dtype }: Tensor): TensorData {
  const sizes = shape.filter((dim) => typeof dim === "number");
  if (sizes.length < shape.length) throw new Error(`an array of ${formatShape(shape)}`);
  const length = sizes.reduce((a, b) => a * b, 1);
  return { data: dtype === "int64" ? new BigInt64Array(length) : new Float32Array(length), shape: sizes };
}

const textFeeds = (pairs: TrainingBatch): Record<string, TensorData> =>
  Object.fromEntries(
    microBatches(pairs, textsAtATime).map(({ ids, size, length }, i) => [
      `ids ${i}`,
      { data: ids, shape: [size, length] },
    ]),
  );
