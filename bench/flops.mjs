/**
 * @file Floating-point operations of the matrix products of a CLIP, 2·M·N·K each; everything else is left out, so that
 * a share of the matrix-product ceiling is what it says.
 * T tokens, D width, H = 4·D hidden width, P patch size, E embedding size, per picture or text.
 */

/** One residual block, forward: query, key, value and output projections, both attention products, the MLP. */
export const blockFlops = (T, D) => 2 * T * (4 * D * D + 2 * D * 4 * D) + 2 * (2 * T * T * D);

/**
 * The last block where one token is pooled: its key and value are of all tokens, the rest of that one alone.
 */
export const lastBlockFlops = (T, D) => 2 * T * (2 * D * D) + 2 * (2 * D * D + 2 * D * 4 * D) + 2 * (2 * T * D);

/** Backward costs each product twice over: the gradient of either factor. */
const forwardAndBackward = 3;

/** The picture tower's blocks of one picture, forward and backward. */
export const blocksFlops = ({ width, layers, tokens }) => forwardAndBackward * layers * blockFlops(tokens, width);

/** A whole tower's blocks, as Diptych runs them; a peer that runs the last block on all tokens does more. */
const towerFlops = ({ width, layers, tokens }) =>
  forwardAndBackward * ((layers - 1) * blockFlops(tokens, width) + lastBlockFlops(tokens, width));

/** A training step, per pair. */
export function stepFlops({ picture, text, embed, batch }) {
  // Pixels need no gradient: the patch product runs twice, not three times.
  const patches = 2 * (2 * (picture.tokens - 1) * 3 * picture.patch ** 2 * picture.width);
  const projections = forwardAndBackward * 2 * (picture.width + text.width) * embed;
  const logits = forwardAndBackward * 2 * batch * embed;
  return patches + towerFlops(picture) + towerFlops(text) + projections + logits;
}
