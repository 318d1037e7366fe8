/**
 * @file What a training step judges a batch by, as data and as rules. A rule looks at some rows of the matrix of logits
 * (pictures against all texts, or texts against all pictures) and gives their share of the loss and its slope at each
 * logit. So the same rule serves a batch whose matrix fits in memory and one that several processes judge in blocks.
 * What both sides' rows give adds up to the loss; the slope of a row is whole, the other side's share included.
 *
 * Shapes: R rows of the block, N pairs of the batch.
 */
import { z } from "zod";
import { add, div, exp, log, max, mul, neg, relu, sigmoid, sub, sum, type Tensor } from "../graph/index.js";
import type { ClipConfig } from "./config.js";

export const lossSchema = z.discriminatedUnion("kind", [
  /**
   * Symmetric cross-entropy (CLIP). `labelSmoothing` is the share of the target that is spread over all, wrong ones too
   * (Szegedy et al. 2016, §7); 0 unless given.
   */
  z.strictObject({ kind: z.literal("softmax"), labelSmoothing: z.number().min(0).lt(1).optional() }),
  /** Every pair judged alone (SigLIP). */
  z.strictObject({ kind: z.literal("sigmoid") }),
]);
export type Loss = z.infer<typeof lossSchema>;

/** What is learned from a larger model's embeddings besides (CLIP-KD: Yang et al. 2024); the numbers are weights. */
export const distillationSchema = z.strictObject({
  /** Squared distance of each embedding from the teacher's ("FD"). The embeddings must be equally wide. */
  features: z.number().positive().optional(),
  /** Divergence from the teacher's softmax over the batch, both ways ("CRD"). The teacher may be of any width. */
  similarity: z.number().positive().optional(),
  /** Of the teacher's softmax: 1 / exp(its logit_scale), which training ends at 0.01 for every published CLIP. */
  temperature: z.number().positive().default(0.01),
});
export type Distillation = z.infer<typeof distillationSchema>;

/** Everything that a batch is judged by. */
export interface Objective {
  readonly loss: Loss;
  readonly distillation?: Distillation | undefined;
}

export const clipObjective: Objective = { loss: { kind: "softmax" } };

/** A model with a logit bias judges each pair alone, as SigLIP does. */
export const defaultLoss = ({ logitBias }: ClipConfig): Loss => ({ kind: logitBias ? "sigmoid" : "softmax" });

/** Logits of some rows, and the logarithm of the sum of the exponentials of each whole column. */
interface Block {
  /** `[R, N]` */
  readonly logits: Tensor;
  /** `[1, N]`; not read by the sigmoid loss. */
  readonly columnSums: Tensor;
}

export interface Rows extends Block {
  /** `[R, N]`: 1 where row and column have equal captions, else 0. */
  readonly positive: Tensor;
  /** N as a scalar. */
  readonly pairs: Tensor;
  /** The same by the teacher. */
  readonly teacher?: Block | undefined;
}

export interface Judgement {
  /** These rows' share, a scalar `[1, 1]`. */
  readonly loss: Tensor;
  /** Of the whole loss, by each logit: `[R, N]`. */
  readonly slope: Tensor;
}

/** log Σ exp(x) along an axis, which stays with size 1. */
export function logSumExp(x: Tensor, axis: number): Tensor {
  const largest = max(x, [axis]);
  return add(largest, log(sum(exp(sub(x, largest)), [axis])));
}

export function judge(rows: Rows, { loss, distillation }: Objective): Judgement {
  const own = loss.kind === "sigmoid" ? sigmoidRule(rows) : softmaxRule(rows, loss.labelSmoothing ?? 0);
  const { teacher } = rows;
  if (!distillation?.similarity || !teacher) return own;
  const learned = divergenceRule(rows, teacher);
  const weighted = (t: Tensor) => mul(t, distillation.similarity!);
  return { loss: add(own.loss, weighted(learned.loss)), slope: add(own.slope, weighted(learned.slope)) };
}

const total = (x: Tensor): Tensor => sum(x, [0, 1]);

/** −Σ target · log softmax(logits) over all rows, a scalar `[1, 1]`: logits and target `[R, K]`, whose rows sum to 1. */
export const crossEntropy = (logits: Tensor, target: Tensor): Tensor =>
  total(mul(target, sub(logSumExp(logits, 1), logits)));

/** −Σ target · log softmax(logits) / 2N, the target spread evenly over the positives (UniCL: Yang et al. 2022, eq. 2–4). */
function softmaxRule({ logits, positive, pairs, columnSums }: Rows, smoothing: number): Judgement {
  const even = div(positive, sum(positive, [1])); // a row's and a column's number of positives are the same
  const target = smoothing === 0 ? even : add(mul(even, 1 - smoothing), div(smoothing, pairs));
  return {
    loss: div(crossEntropy(logits, target), mul(pairs, 2)),
    slope: crossEntropySlope({ logits, columnSums }, mul(target, 2), pairs),
  };
}

/** Σ p · (log p − log softmax(logits)) / 2N, p the teacher's softmax. */
function divergenceRule({ logits, pairs, columnSums }: Rows, teacher: Block): Judgement {
  const wanted = sub(teacher.logits, logSumExp(teacher.logits, 1)); // log p
  const p = exp(wanted);
  const targets = add(p, exp(sub(teacher.logits, teacher.columnSums)));
  return {
    loss: div(total(mul(p, sub(wanted, sub(logits, logSumExp(logits, 1))))), mul(pairs, 2)),
    slope: crossEntropySlope({ logits, columnSums }, targets, pairs),
  };
}

/** (softmax along rows + softmax along columns − both targets) / 2N */
const crossEntropySlope = ({ logits, columnSums }: Block, targets: Tensor, pairs: Tensor): Tensor =>
  div(sub(add(exp(sub(logits, logSumExp(logits, 1))), exp(sub(logits, columnSums))), targets), mul(pairs, 2));

/**
 * −Σ log σ(±logit) / N, plus where row and column have equal captions; half of it is the rows' share. As softplus(∓logit),
 * written so that nothing overflows: softplus(z) = max(z, 0) + log(1 + exp(−|z|)).
 */
function sigmoidRule({ logits, positive, pairs }: Rows): Judgement {
  const sign = sub(1, mul(positive, 2)); // −1 for a pair, 1 otherwise
  const z = mul(logits, sign);
  const magnitude = add(relu(z), relu(neg(z)));
  const softplus = add(relu(z), log(add(exp(neg(magnitude)), 1)));
  return { loss: div(total(softplus), mul(pairs, 2)), slope: div(mul(sign, sigmoid(z)), pairs) };
}
