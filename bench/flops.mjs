/**
 * @file Floating-point operations of the matrix products of a CLIP, 2·M·N·K each; everything else is left out, so that
 * a share of the matrix-product ceiling is what it says.
 * T tokens, D width, H = 4·D hidden width, P patch size, E embedding size, per picture or text.
 */

/** One residual block, forward: query, key, value and output projections, both attention products, the MLP. */
export const blockFlops = (T, D) => 2 * T * (4 * D * D + 2 * D * 4 * D) + 2 * (2 * T * T * D);

/** Backward costs each product twice over: the gradient of either factor. */
const forwardAndBackward = 3;

/** The picture tower's blocks of one picture, forward and backward. */
export const blocksFlops = ({ width, layers, tokens }) => forwardAndBackward * layers * blockFlops(tokens, width);

/** A training step, per pair. */
export function stepFlops({ picture, text, embed, batch }) {
  // Pixels need no gradient: the patch product runs twice, not three times.
  const patches = 2 * (2 * (picture.tokens - 1) * 3 * picture.patch ** 2 * picture.width);
  const projections = forwardAndBackward * 2 * (picture.width + text.width) * embed;
  const logits = forwardAndBackward * 2 * batch * embed;
  return patches + blocksFlops(picture) + blocksFlops(text) + projections + logits;
}
