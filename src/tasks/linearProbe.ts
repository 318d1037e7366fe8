/**
 * @file How much a model's pictures tell without its texts: multinomial logistic regression on its features, fitted with
 * L-BFGS, the strength of the L2 penalty found on a held-out part of the training pictures, as in CLIP's paper
 * (Radford et al. 2021, §A.3). Features are those before the projection, made L2-normal.
 *
 * Shapes: N pictures, K classes, D features.
 */
import { crossEntropy } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import {
  add,
  compare,
  constant,
  div,
  gradient,
  input,
  matmul,
  mul,
  reshape,
  sum,
  type Tensor,
} from "../graph/index.js";
import type { Program, Runtime } from "../runtime/index.js";
import type { Clip } from "./clip.js";
import { type EvaluateOptions, embedLabelled, type LabelledPictures } from "./evaluate.js";
import { type MinimiseOptions, minimise } from "./lbfgs.js";
import { type Matrix, rows, similarityMatrix } from "./matrix.js";
import { classificationMetrics } from "./metrics.js";

/** Features [N, D] with their classes [N], numbers below K. */
export interface Labelled {
  readonly features: Matrix;
  readonly labels: readonly number[];
}

export interface LinearClassifier {
  /** [K, D] */
  readonly weights: Matrix;
  /** [K] */
  readonly bias: Float32Array;
}

/** Scores [N, K] of features [N, D]. */
export function classScores({ weights, bias }: LinearClassifier, features: Matrix): Matrix {
  const { data, shape } = similarityMatrix(features, weights);
  return { data: data.map((value, i) => value + bias[i % bias.length]!), shape };
}

/**
 * The function to be minimised, with its gradients: mean cross-entropy + ½ · `decay` · ‖weights‖², biases being free.
 * Inputs: `features` [N, D], `labels` int32 [N], `weights` [K, D], `bias` [K], `decay` [].
 */
export function probeLoss(classes: number, width: number): Readonly<Record<"loss" | "dWeights" | "dBias", Tensor>> {
  const weights = input("weights", [classes, width]);
  const bias = input("bias", [classes]);
  const logits = matmul(input("features", ["N", width]), weights, { transposeB: true, plus: bias }); // [N, K]
  const ids = constant(
    Array.from({ length: classes }, (_, k) => k),
    [1, classes],
    "int32",
  );
  const target = compare(reshape(input("labels", ["N"], "int32"), ["N", 1]), "equal", ids); // [N, K]
  const penalty = mul(mul(input("decay", []), 0.5), reshape(sum(mul(weights, weights), [0, 1]), []));
  const loss = add(reshape(div(crossEntropy(logits, target), sum(target, [0, 1])), []), penalty);
  const [dWeights, dBias] = gradient(loss, [weights, bias]) as [Tensor, Tensor];
  return { loss, dWeights, dBias };
}

export interface LogisticRegression {
  /**
   * Minimises Σ cross-entropy + ½ · lambda · ‖weights‖²: scikit-learn's objective with C = 1/lambda.
   * @param start the classifier to begin from; zeros unless given
   */
  fit(train: Labelled, lambda: number, start?: LinearClassifier, options?: MinimiseOptions): Promise<LinearClassifier>;
  dispose(): Promise<void>;
}

/** Logistic regression of `width` features for `classes` classes, compiled once for any number of fits. */
export async function logisticRegression(
  runtime: Runtime,
  classes: number,
  width: number,
): Promise<LogisticRegression> {
  const program = await runtime.compile(probeLoss(classes, width));
  return {
    fit: (train, lambda, start, options) => fitClassifier(program, classes, train, lambda, start, options),
    dispose: () => program.dispose(),
  };
}

async function fitClassifier(
  program: Program,
  classes: number,
  { features, labels }: Labelled,
  lambda: number,
  start?: LinearClassifier,
  options?: MinimiseOptions,
): Promise<LinearClassifier> {
  const [count, width] = features.shape;
  const size = classes * width;
  // Biases are free, so shifting every feature moves the optimum's biases alone, and L-BFGS needs far fewer steps.
  const mean = meanRow(features);
  const centred = features.data.map((value, i) => value - mean[i % width]!);
  const feeds = {
    features: { data: centred, shape: [count, width] },
    labels: { data: Int32Array.from(labels), shape: [count] },
    decay: { data: Float32Array.of(lambda / count), shape: [] },
  };
  /** Of every class, the mean feature's score: what centring takes from its bias. */
  const shift = (weights: ArrayLike<number>): Float64Array =>
    Float64Array.from({ length: classes }, (_, k) => mean.reduce((s, m, d) => s + m * weights[k * width + d]!, 0));
  const objective = async (x: Float64Array) => {
    const { loss, dWeights, dBias } = await program.run({
      ...feeds,
      weights: { data: Float32Array.from(x.subarray(0, size)), shape: [classes, width] },
      bias: { data: Float32Array.from(x.subarray(size)), shape: [classes] },
    });
    const slopes = new Float64Array(size + classes);
    slopes.set(dWeights!.data as Float32Array);
    slopes.set(dBias!.data as Float32Array, size);
    return { value: loss!.data[0] as number, gradient: slopes };
  };
  const from = new Float64Array(size + classes);
  if (start) {
    from.set(start.weights.data);
    const shifted = shift(start.weights.data);
    from.set(
      start.bias.map((b, k) => b + shifted[k]!),
      size,
    );
  }
  const { x } = await minimise(objective, from, options);
  const weights = Float32Array.from(x.subarray(0, size));
  const shifted = shift(weights);
  return {
    weights: { data: weights, shape: [classes, width] },
    bias: Float32Array.from(x.subarray(size), (b, k) => b - shifted[k]!),
  };
}

function meanRow({ data, shape: [count, width] }: Matrix): Float64Array {
  const mean = new Float64Array(width);
  data.forEach((value, i) => {
    mean[i % width]! += value / count;
  });
  return mean;
}

/** Powers of ten that the paper tries first, and the step at which it stops: eight to a decade. */
const coarsePowers = [-6, -4, -2, 0, 2, 4, 6];
const finestStep = 1 / 8;

export interface Trial {
  readonly lambda: number;
  readonly accuracy: number;
}

/**
 * The paper's search: seven strengths from 1e-6 to 1e6, then the neighbours of the best at half the distance, and so on
 * to an eighth of a decade. Of equally good strengths the larger one.
 */
export async function searchStrength(accuracyAt: (lambda: number) => Promise<number>): Promise<readonly Trial[]> {
  const tried = new Map<number, number>();
  const attempt = async (power: number): Promise<void> => {
    const inRange = power >= coarsePowers[0]! && power <= coarsePowers.at(-1)!;
    if (inRange && !tried.has(power)) tried.set(power, await accuracyAt(10 ** power));
  };
  for (const power of coarsePowers) await attempt(power);
  for (let step = 1; step >= finestStep; step /= 2) {
    const [best] = ranked(tried)[0]!;
    await attempt(best - step);
    await attempt(best + step);
  }
  return ranked(tried).map(([power, accuracy]) => ({ lambda: 10 ** power, accuracy }));
}

const ranked = (tried: ReadonlyMap<number, number>): (readonly [power: number, accuracy: number])[] =>
  [...tried].sort(([p, a], [q, b]) => b - a || q - p);

export interface LinearProbeResult {
  readonly trained: number;
  readonly tested: number;
  readonly unreadable: number;
  /** Share of the test pictures whose class scores highest. */
  readonly accuracy: number;
  readonly meanPerClassRecall: number;
  /** Strength of the penalty; scikit-learn's C is its inverse. */
  readonly lambda: number;
  /** Every strength tried with its accuracy on the held-out pictures, the best first. */
  readonly trials: readonly Trial[];
}

/** Every fifth picture of a class is held out while the strength is sought. */
const heldOutOf = 5;

/**
 * Fits a linear classifier to the pictures of `train` and counts how many of `test` it gets right.
 * @param clip opened by `loadClip` with `projection: false` to be compared with the paper's figures
 * @throws DiptychError `DifferentClasses`, `TooFewPictures`, `NoLabels`, `NoPictures`
 */
export async function evaluateLinearProbe(
  clip: Clip,
  runtime: Runtime,
  train: LabelledPictures,
  test: LabelledPictures,
  { onProgress }: EvaluateOptions = {},
): Promise<LinearProbeResult> {
  requireSameClasses(train, test);
  const known = await embedLabelled(clip, train, onProgress);
  const unseen = await embedLabelled(clip, test, (done) => onProgress?.(train.length + done));
  const { fitted, heldOut } = split(known);
  const regression = await logisticRegression(runtime, train.classes.length, known.features.shape[1]);
  try {
    let nearby: LinearClassifier | undefined; // an optimum for another strength is a good start
    const trials = await searchStrength(async (lambda) => {
      nearby = await regression.fit(fitted, lambda, nearby);
      return classificationMetrics(classScores(nearby, heldOut.features), heldOut.labels).top1;
    });
    const { lambda } = trials[0]!;
    const classifier = await regression.fit(known, lambda, nearby);
    const { top1, meanPerClassRecall } = classificationMetrics(classScores(classifier, unseen.features), unseen.labels);
    return {
      trained: known.labels.length,
      tested: unseen.labels.length,
      unreadable: known.unreadable + unseen.unreadable,
      accuracy: top1,
      meanPerClassRecall,
      lambda,
      trials,
    };
  } finally {
    await regression.dispose();
  }
}

function requireSameClasses(train: LabelledPictures, test: LabelledPictures): void {
  const [known, asked] = [train, test].map(({ classes }) => classes.map(({ names }) => names[0]));
  const odd = asked!.findIndex((name, k) => name !== known![k]);
  if (odd < 0 && known!.length === asked!.length) return;
  throw new DiptychError(
    "DifferentClasses",
    `The training pictures have ${known!.length} classes and the test pictures ${asked!.length}; class ${Math.max(odd, 0)} is "${known![Math.max(odd, 0)]}" in one and "${asked![Math.max(odd, 0)]}" in the other.`,
    "Give two sets with the same classes.",
  );
}

/** Every fifth of each class apart. */
function split({ features, labels }: Labelled): { readonly fitted: Labelled; readonly heldOut: Labelled } {
  const seen = new Map<number, number>();
  const isHeldOut = labels.map((label) => {
    const before = seen.get(label) ?? 0;
    seen.set(label, before + 1);
    return before % heldOutOf === heldOutOf - 1;
  });
  const part = (held: boolean): Labelled => {
    const indices = labels.flatMap((_, i) => (isHeldOut[i] === held ? [i] : []));
    return { features: rows(features, indices), labels: indices.map((i) => labels[i]!) };
  };
  const heldOut = part(true);
  if (heldOut.labels.length > 0) return { fitted: part(false), heldOut };
  throw new DiptychError(
    "TooFewPictures",
    `No class has ${heldOutOf} training pictures, of which one could be held out.`,
    "Give more training pictures.",
  );
}
