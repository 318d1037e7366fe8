/**
 * @file The two passes of Pillow's 8-bit resampler, bit for bit: weights in fixed point, each pass rounded and clipped
 * to bytes. Samples lie in the kernel's memory meanwhile.
 */
import type { Axis } from "./axis.js";
import { createKernel, type Kernel, packWeights, precisionBits } from "./kernel.js";

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

/** Samples in the kernel's memory: rows of `rowBytes`, the last of which are padding, and four rows of padding below. */
export interface Plane {
  readonly address: number;
  readonly rowBytes: number;
  readonly channels: number;
  readonly width: number;
  readonly height: number;
}

export interface Resizer {
  load(samples: Samples): Plane;
  /** Resizes every row, four at a time; the plane's first column is the first input that `columns` reads. */
  rows(plane: Plane, columns: Axis): Plane;
  /** Resizes every column, sixteen bytes at a time; the plane's first row is the first input that `rows` reads. */
  columns(plane: Plane, rows: Axis): Plane;
  /** `[height, width, channels]` */
  read(plane: Plane): Uint8Array;
}

const pageBytes = 65_536;
/** A memory that grew beyond this for a huge picture is not kept. */
const keptBytes = 64 * 2 ** 20;

let kept: Kernel | undefined;

/** Runs `work` with an empty memory; planes end with it. */
export function withResizer(work: (resizer: Resizer) => Uint8Array): Uint8Array {
  kept ??= createKernel();
  const result = work(resizerOver(kept));
  if (kept.memory.buffer.byteLength > keptBytes) kept = undefined;
  return result;
}

function resizerOver({ memory, sums }: Kernel): Resizer {
  let used = 0;

  function take(bytes: number): number {
    const address = used;
    used += Math.ceil(bytes / 16) * 16;
    const missing = used - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / pageBytes));
    return address;
  }

  function plane(channels: number, width: number, height: number): Plane {
    // Room for what the kernel reads and writes behind a pixel, and for whole groups of sixteen bytes and four lines.
    const rowBytes = Math.ceil((width * channels + 4) / 16) * 16;
    return { address: take(rowBytes * (height + 4)), rowBytes, channels, width, height };
  }

  /** Puts an axis into memory; its inputs lie `step` bytes apart. */
  function tables({ taps, first, count, weights }: Axis, step: number) {
    const outputs = first.length;
    const most = Math.ceil(taps / 2);
    const address = take(4 * outputs * (2 + 2 * most));
    const table = new Int32Array(memory.buffer, address, outputs * (2 + 2 * most));
    const one = 2 ** precisionBits;
    /** Rounded half away from zero; none beyond the last. */
    const weightOf = (i: number, t: number) => {
      const weight = t < count[i]! ? weights[i * taps + t]! : 0;
      return Math.trunc((weight < 0 ? -0.5 : 0.5) + weight * one);
    };
    for (let i = 0, next = 2 * outputs; i < outputs; i++) {
      table[i] = (first[i]! - first[0]!) * step;
      table[outputs + i] = Math.ceil(count[i]! / 2);
      for (let t = 0; t < 2 * most; t += 2, next += 2) table.set(packWeights(weightOf(i, t), weightOf(i, t + 1)), next);
    }
    const at = { first: address, pairs: address + 4 * outputs, weights: address + 8 * outputs };
    return { ...at, weightsStep: 8 * most, outputs, step };
  }

  return {
    load({ data, stride, channels, left, top, width, height }) {
      const loaded = plane(channels, width, height);
      const bytes = new Uint8Array(memory.buffer);
      for (let y = 0; y < height; y++) {
        const from = ((top + y) * stride + left) * channels;
        bytes.set(data.subarray(from, from + width * channels), loaded.address + y * loaded.rowBytes);
      }
      return loaded;
    },
    rows(source, columns) {
      const { channels, height } = source;
      const axis = tables(columns, channels);
      const out = plane(channels, columns.first.length, height);
      const lines = {
        groups: Math.ceil(height / 4),
        below: source.rowBytes,
        outBelow: out.rowBytes,
        outStep: channels,
      };
      sums({ ...axis, ...lines, source: source.address, out: out.address });
      return out;
    },
    columns(source, rows) {
      const { channels, width } = source;
      const axis = tables(rows, source.rowBytes);
      const out = plane(channels, width, rows.first.length);
      const columns = { groups: Math.ceil((width * channels) / 16), below: 4, outBelow: 4, outStep: out.rowBytes };
      sums({ ...axis, ...columns, source: source.address, out: out.address });
      return out;
    },
    read({ address, rowBytes, channels, width, height }) {
      const bytes = new Uint8Array(memory.buffer, address, rowBytes * height);
      const out = new Uint8Array(width * channels * height);
      for (let y = 0; y < height; y++) {
        out.set(bytes.subarray(y * rowBytes, y * rowBytes + width * channels), y * width * channels);
      }
      return out;
    },
  };
}
