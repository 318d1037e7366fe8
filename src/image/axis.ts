/**
 * @file One axis of a resize: which inputs make each output, and how much of each. Follows `precompute_coeffs` of
 * Pillow's `Resample.c`: the filter is widened to the scale where a picture shrinks (antialias).
 * Leaves out: box, Hamming and Lanczos filters.
 */

export type Interpolation = "bicubic" | "bilinear";

/** Input `first[i] + t` has weight `weights[i·taps + t]` in output i, for t < `count[i]`. */
export interface Axis {
  readonly taps: number;
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Float64Array;
}

const filters: Readonly<Record<Interpolation, { support: number; weight(x: number): number }>> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  // Keys' cubic with a = −0.5; the order of operations is Pillow's, since the last bit counts.
  bicubic: {
    support: 2,
    weight(x) {
      const a = -0.5;
      const d = Math.abs(x);
      if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
      if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
      return 0;
    },
  },
};

/** The outputs `from .. from + length` of an axis that is resized from `inputs` to `outputs` pixels. */
export function resizeAxis(
  inputs: number,
  outputs: number,
  from: number,
  length: number,
  interpolation: Interpolation,
): Axis {
  const filter = filters[interpolation];
  const scale = inputs / outputs;
  const widening = Math.max(scale, 1);
  const support = filter.support * widening;
  const taps = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(length);
  const count = new Int32Array(length);
  const weights = new Float64Array(length * taps);
  for (let i = 0; i < length; i++) {
    const center = (from + i + 0.5) * scale;
    const low = Math.max(0, Math.trunc(center - support + 0.5));
    const high = Math.min(inputs, Math.trunc(center + support + 0.5));
    let total = 0;
    for (let x = low; x < high; x++) {
      const weight = filter.weight((x - center + 0.5) * (1 / widening));
      weights[i * taps + x - low] = weight;
      total += weight;
    }
    if (total !== 0) for (let t = 0; t < high - low; t++) weights[i * taps + t]! /= total;
    first[i] = low;
    count[i] = high - low;
  }
  return { taps, first, count, weights };
}

/**
 * The same with weights as torch's 8-bit tensors have them (`UpSampleKernel.cpp`, `_compute_index_ranges_int16_weights`):
 * 16-bit integers, with as many bits behind the point as the largest weight of the whole axis leaves room for.
 */
export function tensorAxis(
  inputs: number,
  outputs: number,
  from: number,
  length: number,
  interpolation: Interpolation,
): Axis {
  const { taps, first, count, weights } = resizeAxis(inputs, outputs, 0, outputs, interpolation);
  const largest = weights.reduce((most, weight) => Math.max(most, weight), 0);
  let bits = 0;
  while (bits < 22 && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 2 ** 15) bits++;
  return {
    taps,
    first: first.subarray(from, from + length),
    count: count.subarray(from, from + length),
    weights: weights
      .subarray(from * taps, (from + length) * taps)
      .map((weight) => Math.trunc(weight * 2 ** bits + (weight < 0 ? -0.5 : 0.5)) / 2 ** bits),
  };
}

/** The inputs that an axis reads at all: its windows move monotonically, so from the first's start to the last's end. */
export function inputSpan({ first, count }: Axis): { readonly start: number; readonly length: number } {
  const last = first.length - 1;
  return { start: first[0]!, length: first[last]! + count[last]! - first[0]! };
}

/** For each output of an axis the one input at its centre. Pillow adds the positions up; its rounding errors count too. */
export function nearestInputs(inputs: number, outputs: number): Int32Array {
  const step = inputs / outputs;
  const nearest = new Int32Array(outputs);
  for (let i = 0, position = step * 0.5; i < outputs; i++, position += step) {
    nearest[i] = Math.min(inputs - 1, Math.trunc(position));
  }
  return nearest;
}
