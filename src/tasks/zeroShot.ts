/**
 * @file Classes from words alone (Radford et al. 2021, §3.1.4): each class is the mean of its texts in several templates.
 */
import { DiptychError } from "../errors.js";
import type { Clip } from "./clip.js";
import { type Matrix, normaliseRows, row, similarityMatrix, softmaxRows } from "./matrix.js";

/** What CLIP's authors use where nothing better is known. */
export const defaultTemplates: readonly string[] = ["a photo of a {}."];

/**
 * One row per class, L2-normalised: [C, D]. A class is embedded in every template ("{}" stands for its name), each
 * embedding is normalised, their mean is normalised again.
 */
export async function zeroShotClassifier(
  clip: Pick<Clip, "embedTexts">,
  classes: readonly string[],
  templates: readonly string[] = defaultTemplates,
): Promise<Matrix> {
  if (classes.length === 0) throw new DiptychError("NoClasses", "There are no classes.", "Give at least one name.");
  if (templates.length === 0)
    throw new DiptychError("NoTemplates", "There are no templates.", 'Give one, such as "{}".');
  for (const template of templates) {
    if (!template.includes("{}")) {
      throw new DiptychError(
        "BadTemplate",
        `The template ${JSON.stringify(template)} has no place for the class.`,
        'Write {} where the name goes: "a photo of a {}."',
      );
    }
  }
  const texts = classes.flatMap((name) => templates.map((template) => template.replaceAll("{}", () => name)));
  const embeddings = await clip.embedTexts(texts); // [C · T, D]
  const width = embeddings.shape[1];
  const sums = new Float32Array(classes.length * width); // the mean's length does not matter: it is normalised
  for (let i = 0; i < texts.length; i++) {
    const sum = sums.subarray(Math.floor(i / templates.length) * width);
    row(embeddings, i).forEach((value, d) => {
      sum[d]! += value;
    });
  }
  return normaliseRows({ data: sums, shape: [classes.length, width] });
}

/**
 * Probabilities [N, C] of the classes (`classifier` [C, D]) for pictures [N, D]: softmax of logit scale × cosine over the
 * classes. A model with a logit bias (SigLIP) was trained to judge each pair alone: σ(logit scale × cosine + bias), and
 * the probabilities of a picture need not add up to one (Zhai et al. 2023).
 */
export function classify(clip: Pick<Clip, "logitScale" | "logitBias">, images: Matrix, classifier: Matrix): Matrix {
  const cosines = similarityMatrix(images, classifier);
  const { logitScale, logitBias } = clip;
  if (logitBias === null) return softmaxRows(cosines, logitScale);
  return { ...cosines, data: cosines.data.map((cosine) => 1 / (1 + Math.exp(-(logitScale * cosine + logitBias)))) };
}
