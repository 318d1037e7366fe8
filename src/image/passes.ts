/**
 * @file The two passes of Pillow's 8-bit resampler, bit for bit: fixed-point weights of 22 bits, each pass rounded and
 * clipped to a byte. These loops are where the time of preprocessing goes, so they are plain and work on typed arrays.
 */
import { type Axis, inputSpan } from "./axis.js";

/** A rectangle of interleaved samples: pixel (x, y) is at `((top + y)·stride + left + x)·channels`. */
export interface Samples<Data = Uint8Array> {
  readonly data: Data;
  /** Pixels per row of `data`. */
  readonly stride: number;
  readonly channels: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

const precisionBits = 22;
/** Half a unit: what sums begin with, so that dropping the bits rounds. */
const half = 1 << (precisionBits - 1);

/** Rounded half away from zero. */
const fixedPoint = (weights: Float64Array): Int32Array =>
  Int32Array.from(weights, (w) => Math.trunc((w < 0 ? -0.5 : 0.5) + w * 2 ** precisionBits));

const packed = (data: Uint8ClampedArray, channels: number, width: number, height: number): Samples => ({
  data: new Uint8Array(data.buffer),
  stride: width,
  channels,
  left: 0,
  top: 0,
  width,
  height,
});

/** Resizes every row; the first column of `source` is the first input that `columns` reads. */
export function resizeRows(source: Samples, columns: Axis): Samples {
  const { channels, height } = source;
  const width = columns.first.length;
  const out = new Uint8ClampedArray(width * height * channels);
  (channels === 3 ? rgbRows : anyRows)(source, columns, fixedPoint(columns.weights), out);
  return packed(out, channels, width, height);
}

function anyRows(source: Samples, { taps, first, count }: Axis, weights: Int32Array, out: Uint8ClampedArray): void {
  const { data, channels } = source;
  let to = 0;
  for (let y = 0; y < source.height; y++) {
    const row = (source.top + y) * source.stride + source.left - first[0]!;
    for (let x = 0; x < first.length; x++) {
      const end = x * taps + count[x]!;
      for (let c = 0; c < channels; c++) {
        let from = (row + first[x]!) * channels + c;
        let sum = half;
        for (let k = x * taps; k < end; k++, from += channels) sum = (sum + Math.imul(data[from]!, weights[k]!)) | 0;
        out[to++] = sum >> precisionBits;
      }
    }
  }
}

/** `anyRows` with three channels unrolled. */
function rgbRows(source: Samples, { taps, first, count }: Axis, weights: Int32Array, out: Uint8ClampedArray): void {
  const { data } = source;
  let to = 0;
  for (let y = 0; y < source.height; y++) {
    const row = (source.top + y) * source.stride + source.left - first[0]!;
    for (let x = 0; x < first.length; x++) {
      const end = x * taps + count[x]!;
      let from = (row + first[x]!) * 3;
      let red = half;
      let green = half;
      let blue = half;
      for (let k = x * taps; k < end; k++, from += 3) {
        const weight = weights[k]!;
        red = (red + Math.imul(data[from]!, weight)) | 0;
        green = (green + Math.imul(data[from + 1]!, weight)) | 0;
        blue = (blue + Math.imul(data[from + 2]!, weight)) | 0;
      }
      out[to] = red >> precisionBits;
      out[to + 1] = green >> precisionBits;
      out[to + 2] = blue >> precisionBits;
      to += 3;
    }
  }
}

/** Resizes every column; the first row of `source` is the first input that `rows` reads. */
export function resizeColumns(source: Samples, rows: Axis): Samples {
  const { data, channels, width } = source;
  const { taps, first, count } = rows;
  const height = first.length;
  const length = width * channels;
  const weights = fixedPoint(rows.weights);
  const sums = new Int32Array(length);
  const out = new Uint8ClampedArray(length * height);
  for (let y = 0; y < height; y++) {
    sums.fill(half);
    for (let t = 0; t < count[y]!; t++) {
      const weight = weights[y * taps + t]!;
      const from = ((source.top + first[y]! - first[0]! + t) * source.stride + source.left) * channels;
      for (let x = 0; x < length; x++) sums[x] = sums[x]! + Math.imul(data[from + x]!, weight);
    }
    for (let x = 0; x < length; x++) out[y * length + x] = sums[x]! >> precisionBits;
  }
  return packed(out, channels, width, height);
}

/** The part of `source` that these axes read. */
export function readPart<Data>(source: Samples<Data>, columns: Axis, rows: Axis): Samples<Data> {
  const across = inputSpan(columns);
  const down = inputSpan(rows);
  return {
    ...source,
    left: source.left + across.start,
    top: source.top + down.start,
    width: across.length,
    height: down.length,
  };
}
