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
function fixedPoint(weights: Float64Array): Int32Array {
  const fixed = new Int32Array(weights.length);
  for (let i = 0; i < fixed.length; i++) fixed[i] = (weights[i]! < 0 ? -0.5 : 0.5) + weights[i]! * 2 ** precisionBits;
  return fixed;
}

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

/** `anyRows` for three channels and two rows at a time: six sums share each weight. An odd last row is done twice. */
function rgbRows(source: Samples, { taps, first, count }: Axis, weights: Int32Array, out: Uint8ClampedArray): void {
  const { data, stride, height } = source;
  const rowLength = first.length * 3;
  for (let y = 0; y < height; y += 2) {
    const next = Math.min(1, height - 1 - y);
    const down = next * stride * 3;
    const row = (source.top + y) * stride + source.left - first[0]!;
    let to = y * rowLength;
    for (let x = 0; x < first.length; x++, to += 3) {
      const end = x * taps + count[x]!;
      let from = (row + first[x]!) * 3;
      let red = half;
      let green = half;
      let blue = half;
      let redBelow = half;
      let greenBelow = half;
      let blueBelow = half;
      for (let k = x * taps; k < end; k++, from += 3) {
        const weight = weights[k]!;
        const below = from + down;
        red = (red + Math.imul(data[from]!, weight)) | 0;
        green = (green + Math.imul(data[from + 1]!, weight)) | 0;
        blue = (blue + Math.imul(data[from + 2]!, weight)) | 0;
        redBelow = (redBelow + Math.imul(data[below]!, weight)) | 0;
        greenBelow = (greenBelow + Math.imul(data[below + 1]!, weight)) | 0;
        blueBelow = (blueBelow + Math.imul(data[below + 2]!, weight)) | 0;
      }
      const toBelow = to + next * rowLength;
      out[to] = red >> precisionBits;
      out[to + 1] = green >> precisionBits;
      out[to + 2] = blue >> precisionBits;
      out[toBelow] = redBelow >> precisionBits;
      out[toBelow + 1] = greenBelow >> precisionBits;
      out[toBelow + 2] = blueBelow >> precisionBits;
    }
  }
}

/** Resizes every column, four at a time; the first row of `source` is the first input that `rows` reads. */
export function resizeColumns(source: Samples, rows: Axis): Samples {
  const { data, channels, width } = source;
  const { taps, first, count } = rows;
  const height = first.length;
  const length = width * channels;
  const step = source.stride * channels;
  const weights = fixedPoint(rows.weights);
  const out = new Uint8ClampedArray(length * height);
  for (let y = 0; y < height; y++) {
    const row = ((source.top + first[y]! - first[0]!) * source.stride + source.left) * channels;
    const end = y * taps + count[y]!;
    for (let x = 0; x < length; x += 4) {
      // Where the row is not a multiple of four long, its last column is done more than once.
      const second = Math.min(1, length - 1 - x);
      const third = Math.min(2, length - 1 - x);
      const fourth = Math.min(3, length - 1 - x);
      let a = half;
      let b = half;
      let c = half;
      let d = half;
      for (let k = y * taps, from = row + x; k < end; k++, from += step) {
        const weight = weights[k]!;
        a = (a + Math.imul(data[from]!, weight)) | 0;
        b = (b + Math.imul(data[from + second]!, weight)) | 0;
        c = (c + Math.imul(data[from + third]!, weight)) | 0;
        d = (d + Math.imul(data[from + fourth]!, weight)) | 0;
      }
      const to = y * length + x;
      out[to] = a >> precisionBits;
      out[to + second] = b >> precisionBits;
      out[to + third] = c >> precisionBits;
      out[to + fourth] = d >> precisionBits;
    }
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
