/**
 * @file How well a model answers on pictures that it never saw: zero-shot classes, and retrieval between pictures and
 * captions. The sources of `data` are such pictures as they are. An unreadable picture is counted and left out.
 * Leaves out: linear probes (`linearProbe.ts`), reading.
 */
import { DiptychError } from "../errors.js";
import type { Clip, ImageInput } from "./clip.js";
import type { Matrix } from "./matrix.js";
import { classificationMetrics, type RetrievalMetrics, retrievalMetrics } from "./metrics.js";
import { classify, zeroShotClassifier } from "./zeroShot.js";

/** Samples that are read by index. */
interface Samples<S> {
  readonly length: number;
  read(index: number): Promise<S>;
}

export interface LabelledPictures extends Samples<{ readonly image: ImageInput; readonly label?: number }> {
  /** In label order; the first of a class's names is the one it is asked by. */
  readonly classes: readonly { readonly names: readonly string[] }[];
}

export type CaptionedPictures = Samples<{ readonly image: ImageInput; readonly captions: readonly string[] }>;

export interface EvaluateOptions {
  /** Called now and then with how many pictures are done. */
  readonly onProgress?: (done: number) => void;
}

export interface ZeroShotOptions extends EvaluateOptions {
  /** "{}" stands for the class. */
  readonly templates?: readonly string[];
}

export interface ZeroShotResult {
  readonly pictures: number;
  readonly unreadable: number;
  readonly top1: number;
  readonly top5: number;
  readonly meanPerClassRecall: number;
  /** By class, in label order; `recall` is null where no picture has the class. */
  readonly classes: readonly { readonly name: string; readonly recall: number | null }[];
}

/** Accuracy of classes given by name alone. */
export async function evaluateZeroShot(
  clip: Clip,
  pictures: LabelledPictures,
  { templates, onProgress }: ZeroShotOptions = {},
): Promise<ZeroShotResult> {
  const names = pictures.classes.map((each) => each.names[0]!);
  const classifier = await zeroShotClassifier(clip, names, templates);
  const { features, labels, unreadable } = await embedLabelled(clip, pictures, onProgress);
  const { perClassRecall, ...shares } = classificationMetrics(classify(clip, features, classifier), labels);
  const classes = names.map((name, c) => ({ name, recall: perClassRecall[c]! }));
  return { pictures: labels.length, unreadable, ...shares, classes };
}

/** The readable pictures' embeddings [N, E] with their classes. @throws DiptychError `NoLabels`, `NoPictures` */
export async function embedLabelled(
  clip: Clip,
  pictures: LabelledPictures,
  onProgress?: EvaluateOptions["onProgress"],
): Promise<{ features: Matrix; labels: number[]; unreadable: number }> {
  const { embeddings, samples, unreadable } = await embedSamples(clip, pictures, onProgress);
  const labels = samples.map(({ label }) => {
    if (label !== undefined) return label;
    throw new DiptychError("NoLabels", "A picture has no class.", "Evaluate on pictures with classes.");
  });
  return { features: embeddings, labels, unreadable };
}

export interface RetrievalOptions extends EvaluateOptions {
  /** Use only the first this many captions of a picture: 1 where the others are keywords. */
  readonly captionsPerPicture?: number;
}

export interface RetrievalResult extends RetrievalMetrics {
  readonly pictures: number;
  readonly texts: number;
  readonly unreadable: number;
}

/** Recall of pictures by their captions and of captions by their pictures; captions beyond the context are cut. */
export async function evaluateRetrieval(
  clip: Clip,
  pictures: CaptionedPictures,
  { captionsPerPicture = Number.POSITIVE_INFINITY, onProgress }: RetrievalOptions = {},
): Promise<RetrievalResult> {
  const { embeddings, samples, unreadable } = await embedSamples(clip, pictures, onProgress);
  const pairs = samples.flatMap(({ captions }, i) =>
    captions.slice(0, captionsPerPicture).map((caption) => ({ caption, i })),
  );
  const texts = await clip.embedTexts(
    pairs.map(({ caption }) => caption),
    { truncate: true },
  );
  const metrics = retrievalMetrics(
    embeddings,
    texts,
    pairs.map(({ i }) => i),
  );
  return { pictures: samples.length, texts: pairs.length, unreadable, ...metrics };
}

/** Pictures whose encoded bytes are held at once. */
const chunk = 256;

/** Embeds every readable sample; `samples[i]` (without its picture) belongs to row i of `embeddings`. */
async function embedSamples<S extends { readonly image: ImageInput }>(
  clip: Clip,
  source: Samples<S>,
  onProgress: EvaluateOptions["onProgress"],
): Promise<{ embeddings: Matrix; samples: Omit<S, "image">[]; unreadable: number }> {
  const width = clip.config.embedSize;
  const rows: Float32Array[] = [];
  const samples: Omit<S, "image">[] = [];
  for (let start = 0; start < source.length; start += chunk) {
    const indices = Array.from({ length: Math.min(chunk, source.length - start) }, (_, i) => start + i);
    const read = (await Promise.all(indices.map((i) => source.read(i).catch(unusable)))).filter(
      (each) => each !== null,
    );
    const skipped = new Set<number>();
    const { data } = await clip.embedImages(
      read.map(({ image }) => image),
      {
        onUnreadable: (_, i) => skipped.add(i),
        onProgress: (done) => onProgress?.(start + done),
      },
    );
    for (const [i, { image: _, ...sample }] of read.entries()) {
      if (skipped.has(i)) continue;
      rows.push(data.subarray(i * width, (i + 1) * width));
      samples.push(sample);
    }
  }
  if (samples.length === 0) {
    throw new DiptychError(
      "NoPictures",
      "There is no readable picture to evaluate on.",
      "Check the path and the files.",
    );
  }
  const data = new Float32Array(rows.length * width);
  rows.forEach((each, i) => {
    data.set(each, i * width);
  });
  return { embeddings: { data, shape: [rows.length, width] }, samples, unreadable: source.length - samples.length };
}

/** A sample that the source itself refuses counts as unreadable; anything else is a bug and goes on. */
function unusable(error: unknown): null {
  if (error instanceof DiptychError) return null;
  throw error;
}
