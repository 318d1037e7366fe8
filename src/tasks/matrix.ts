/**
 * @file Rows of numbers and the little arithmetic on them that follows a tower: normalise, compare, soften, pick.
 * Plain loops: a row product costs nanoseconds where a picture costs milliseconds. Sums are kept in float64.
 *
 * Shapes: N and M rows, D width, row-major.
 */

export interface Matrix {
  readonly data: Float32Array;
  readonly shape: readonly [rows: number, columns: number];
}

/** Row i, as a view. */
export function row({ data, shape: [, width] }: Matrix, i: number): Float32Array {
  return data.subarray(i * width, (i + 1) * width);
}

/** The rows at `indices`, copied. */
export function rows(matrix: Matrix, indices: readonly number[]): Matrix {
  const width = matrix.shape[1];
  const data = new Float32Array(indices.length * width);
  indices.forEach((from, to) => {
    data.set(row(matrix, from), to * width);
  });
  return { data, shape: [indices.length, width] };
}

/** x / ‖x‖₂ for every row; a row of zeros stays zero. */
export function normaliseRows(matrix: Matrix): Matrix {
  const data = Float32Array.from(matrix.data);
  for (let i = 0; i < matrix.shape[0]; i++) {
    const x = row({ data, shape: matrix.shape }, i);
    const norm = Math.sqrt(dot(x, x));
    if (norm > 0) for (let d = 0; d < x.length; d++) x[d]! /= norm;
  }
  return { data, shape: matrix.shape };
}

/** a·bᵀ: [N, D], [M, D] → [N, M]. Of L2-normalised rows these are the cosines. */
export function similarityMatrix(a: Matrix, b: Matrix): Matrix {
  if (a.shape[1] !== b.shape[1]) {
    throw new RangeError(`rows of ${a.shape[1]} and of ${b.shape[1]} numbers cannot be compared`);
  }
  const [n, m] = [a.shape[0], b.shape[0]];
  const data = new Float32Array(n * m);
  for (let i = 0; i < n; i++) {
    const x = row(a, i);
    for (let j = 0; j < m; j++) data[i * m + j] = dot(x, row(b, j));
  }
  return { data, shape: [n, m] };
}

/** softmax(scale · x) of every row: with CLIP's logit scale and cosines, the probabilities of the texts for a picture. */
export function softmaxRows(matrix: Matrix, scale: number): Matrix {
  const data = new Float32Array(matrix.data.length);
  for (let i = 0; i < matrix.shape[0]; i++) {
    const x = row(matrix, i);
    const highest = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const powers = Array.from(x, (v) => Math.exp(scale * (v - highest)));
    const sum = powers.reduce((a, b) => a + b, 0);
    data.set(
      powers.map((power) => power / sum),
      i * x.length,
    );
  }
  return { data, shape: matrix.shape };
}

/** Σ_d a_d b_d. Four sums, so that additions need not wait for each other. */
export function dot(a: Float32Array, b: Float32Array): number {
  const width = a.length;
  const whole = width - (width % 4);
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  for (let d = 0; d < whole; d += 4) {
    s0 += a[d]! * b[d]!;
    s1 += a[d + 1]! * b[d + 1]!;
    s2 += a[d + 2]! * b[d + 2]!;
    s3 += a[d + 3]! * b[d + 3]!;
  }
  for (let d = whole; d < width; d++) s0 += a[d]! * b[d]!;
  return s0 + s1 + s2 + s3;
}
