/**
 * @file The two passes of Pillow's 8-bit resampler, bit for bit: weights in fixed point, each pass rounded and clipped
 * to bytes. Samples lie in the kernel's memory meanwhile.
 */
import type { Axis } from "./axis.js";
import { createKernel, type Kernel, precisionBits } from "./kernel.js";

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

/** Samples in the kernel's memory: rows of `rowBytes`, the last of which are padding, and one row of padding below. */
export interface Plane {
  readonly address: number;
  readonly rowBytes: number;
  readonly channels: number;
  readonly width: number;
  readonly height: number;
}

export interface Resizer {
  load(samples: Samples): Plane;
  /** Resizes every row, two at a time; the plane's first column is the first input that `columns` reads. */
  rows(plane: Plane, columns: Axis): Plane;
  /** Resizes every column, eight bytes at a time; the plane's first row is the first input that `rows` reads. */
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
    // Room for what the kernel reads and writes behind a pixel, and for whole groups of eight bytes.
    const rowBytes = Math.ceil((width * channels + 4) / 8) * 8;
    return { address: take(rowBytes * (height + 1)), rowBytes, channels, width, height };
  }

  /** Puts an axis into memory; its inputs lie `step` bytes apart. */
  function tables({ taps, first, count, weights }: Axis, step: number) {
    const outputs = first.length;
    const address = take(4 * outputs * (2 + taps));
    const table = new Int32Array(memory.buffer, address, outputs * (2 + taps));
    for (let i = 0; i < outputs; i++) table[i] = (first[i]! - first[0]!) * step;
    table.set(count, outputs);
    for (let i = 0; i < weights.length; i++) {
      // Rounded half away from zero.
      table[2 * outputs + i] = (weights[i]! < 0 ? -0.5 : 0.5) + weights[i]! * 2 ** precisionBits;
    }
    const at = { first: address, count: address + 4 * outputs, weights: address + 8 * outputs };
    return { ...at, weightsStep: 4 * taps, outputs, step };
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
      const lines = { below: source.rowBytes, outBelow: out.rowBytes, outStep: channels };
      for (let y = 0; y < height; y += 2) {
        sums({ ...axis, ...lines, source: source.address + y * source.rowBytes, out: out.address + y * out.rowBytes });
      }
      return out;
    },
    columns(source, rows) {
      const { channels, width } = source;
      const axis = tables(rows, source.rowBytes);
      const out = plane(channels, width, rows.first.length);
      const groups = { below: 4, outBelow: 4, outStep: out.rowBytes };
      for (let x = 0; x < width * channels; x += 8) {
        sums({ ...axis, ...groups, source: source.address + x, out: out.address + x });
      }
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
