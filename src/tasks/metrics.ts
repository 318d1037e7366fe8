/**
 * @file How good embeddings are, counted as CLIP_benchmark counts: accuracy of zero-shot classes, recall of retrieval.
 * Equal scores are ranked by index, so a result does not depend on a sort.
 */
import { type Matrix, row, similarityMatrix } from "./matrix.js";

export interface ClassificationMetrics {
  /** Share of pictures whose class scores highest. */
  readonly top1: number;
  /** Share of pictures whose class is among the five highest. */
  readonly top5: number;
  /** Mean over the classes that occur of the share of their pictures found: small classes count as much as large ones. */
  readonly meanPerClassRecall: number;
  /** The same of each class; `null` for one that no picture has. */
  readonly perClassRecall: readonly (number | null)[];
}

/** `scores` [N, C] of N pictures for C classes, `labels` [N] their right classes. */
export function classificationMetrics(scores: Matrix, labels: ArrayLike<number>): ClassificationMetrics {
  const [count, classes] = scores.shape;
  const ranks = Array.from(labels, (label, i) => rankOf(row(scores, i), label));
  const perClassRecall = Array.from({ length: classes }, (_, c) => {
    const own = ranks.filter((_, i) => labels[i] === c);
    return own.length === 0 ? null : own.filter((rank) => rank === 0).length / own.length;
  });
  const present = perClassRecall.filter((recall) => recall !== null);
  return {
    top1: ranks.filter((rank) => rank < 1).length / count,
    top5: ranks.filter((rank) => rank < 5).length / count,
    meanPerClassRecall: present.reduce((a, b) => a + b, 0) / present.length,
    perClassRecall,
  };
}

export interface Recall {
  readonly "recall@1": number;
  readonly "recall@5": number;
  readonly "recall@10": number;
}

export interface RetrievalMetrics {
  /** Share of texts whose picture is among the k nearest pictures. */
  readonly textToImage: Recall;
  /** Share of pictures of which any text is among the k nearest texts. */
  readonly imageToText: Recall;
}

/** Embeddings of N pictures [N, D] and M texts [M, D]; `imageOfText[j]` is the picture that text j describes. */
export function retrievalMetrics(images: Matrix, texts: Matrix, imageOfText: ArrayLike<number>): RetrievalMetrics {
  const byText = similarityMatrix(texts, images); // [M, N]
  const byImage = similarityMatrix(images, texts); // [N, M]
  const bestRank = new Array<number>(images.shape[0]).fill(Number.POSITIVE_INFINITY);
  const textRanks = Array.from(imageOfText, (i, j) => {
    bestRank[i] = Math.min(bestRank[i]!, rankOf(row(byImage, i), j));
    return rankOf(row(byText, j), i);
  });
  return { textToImage: recall(textRanks), imageToText: recall(bestRank) };
}

function recall(ranks: readonly number[]): Recall {
  const within = (k: number): number => ranks.filter((rank) => rank < k).length / ranks.length;
  return { "recall@1": within(1), "recall@5": within(5), "recall@10": within(10) };
}

/** How many entries come before entry `index` when sorted by falling score, ties by index. */
function rankOf(scores: Float32Array, index: number): number {
  const own = scores[index]!;
  let rank = 0;
  for (let j = 0; j < scores.length; j++) if (scores[j]! > own || (scores[j] === own && j < index)) rank++;
  return rank;
}
