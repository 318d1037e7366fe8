/**
 * @file Where the towers meet: normalisation, similarity, and the losses: the symmetric cross-entropy of CLIP (Radford et
 * al. 2021, fig. 3) and the sigmoid loss of SigLIP (Zhai et al. 2023, eq. 1).
 * Pairs with equal captions are positives of each other: the target is spread evenly over them, as in UniCL
 * (Yang et al. 2022, eq. 2–4). With captions all different that is CLIP's loss.
 */
import {
  add,
  compare,
  div,
  exp,
  log,
  matmul,
  max,
  mul,
  neg,
  relu,
  reshape,
  sqrt,
  sub,
  sum,
  type Tensor,
} from "../graph/index.js";

/** Rows divided by their Euclidean length: `[B, E]` → `[B, E]`. */
export const l2Normalise = (x: Tensor): Tensor => div(x, sqrt(sum(mul(x, x), [-1])));

/** exp(logitScale) · cosine of every picture (row) with every text (column): `[B, E]`, `[M, E]`, `[]` → `[B, M]`. */
export const similarity = (imageFeatures: Tensor, textFeatures: Tensor, logitScale: Tensor): Tensor =>
  mul(matmul(l2Normalise(imageFeatures), l2Normalise(textFeatures), { transposeB: true }), exp(logitScale));

/**
 * Mean of the cross-entropies of pictures over texts and of texts over pictures, a scalar.
 * @param logits `[B, B]`
 * @param group int32 `[B]`: rows with the same number have the same caption
 */
export function contrastiveLoss(logits: Tensor, group: Tensor): Tensor {
  const batch = logits.shape[0]!;
  const positive = compare(reshape(group, [batch, 1]), "equal", reshape(group, [1, batch])); // [B, B], symmetric
  const target = div(positive, sum(positive, [1])); // rows sum to 1
  const targetOfTexts = div(positive, sum(positive, [0])); // columns sum to 1
  return mul(add(crossEntropy(logits, target, 1), crossEntropy(logits, targetOfTexts, 0)), 0.5);
}

/** Mean over rows (axis 1) or columns (axis 0) of −Σ target · log softmax(logits). */
export function crossEntropy(logits: Tensor, target: Tensor, axis: 0 | 1): Tensor {
  const shifted = sub(logits, max(logits, [axis]));
  const logSum = log(sum(exp(shifted), [axis]));
  const perPair = mul(target, sub(logSum, shifted)); // [B, B]
  return reshape(div(sum(perPair, [0, 1]), sum(target, [0, 1])), []); // the targets sum to B
}

/**
 * −Σ log σ(±logit) / B, plus where row and column have the same caption. As softplus(∓logit), written so that nothing
 * overflows: softplus(z) = max(z, 0) + log(1 + exp(−|z|)).
 */
export function sigmoidLoss(logits: Tensor, group: Tensor): Tensor {
  const batch = logits.shape[0]!;
  const positive = compare(reshape(group, [batch, 1]), "equal", reshape(group, [1, batch])); // [B, B]
  const sign = sub(1, mul(positive, 2)); // −1 for a pair, 1 otherwise
  const z = mul(logits, sign);
  const magnitude = add(relu(z), relu(neg(z)));
  const pairs = add(relu(z), log(add(exp(neg(magnitude)), 1)));
  const rows = sum(compare(group, "equal", group), [0]); // B, also where it is known only when the graph runs
  return reshape(div(sum(pairs, [0, 1]), rows), []);
}

export const losses = { softmax: contrastiveLoss, sigmoid: sigmoidLoss } as const;
