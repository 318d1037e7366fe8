/**
 * @file Resizing as Pillow 13 does it, bit for bit (`Resample.c`, and the nearest-pixel rule of `Geometry.c`), or as
 * torch does it with 8-bit tensors and `antialias=True`. Only the part of the result that is asked for is computed.
 */
import { type Axis, type Interpolation, inputSpan, nearestInputs, resizeAxis, tensorAxis } from "./axis.js";
import { type Samples, withResizer } from "./passes.js";

/** Resize to `fullWidth × fullHeight`, then keep the `width × height` at (left, top), which lies within. */
export interface Target {
  readonly fullWidth: number;
  readonly fullHeight: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** How pixels are mixed. Torch's results differ from Pillow's by a level here and there: its weights have fewer bits. */
export interface Mixing {
  readonly interpolation: Interpolation;
  readonly library: "pillow" | "torch";
}

interface Plan {
  readonly columns: Axis;
  readonly rows: Axis;
  /**
   * Rows first, then columns; the other way round where the height shrinks by more than twice as many pixels as the
   * width. So since Pillow 13 (its pull request 9549): older versions always begin with the rows, and since each pass
   * rounds, the results of such thin shapes differ from theirs by a level here and there. Torch begins with the rows.
   */
  readonly columnsFirst: boolean;
}

function plan(source: Samples<unknown>, target: Target, { interpolation, library }: Mixing): Plan {
  const shrinksBy = source.height - target.fullHeight;
  const axis = library === "torch" ? tensorAxis : resizeAxis;
  return {
    columns: axis(source.width, target.fullWidth, target.left, target.width, interpolation),
    rows: axis(source.height, target.fullHeight, target.top, target.height, interpolation),
    columnsFirst: library === "pillow" && shrinksBy > 0 && shrinksBy > 2 * (source.width - target.fullWidth),
  };
}

/** The part of `source` that these axes read. */
function readPart<Data>(source: Samples<Data>, columns: Axis, rows: Axis): Samples<Data> {
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

/** 8-bit samples, `[target.height, target.width, channels]`. */
export function resample(source: Samples, target: Target, mixing: Mixing): Uint8Array {
  const { columns, rows, columnsFirst } = plan(source, target, mixing);
  return withResizer((resizer) => {
    const part = resizer.load(readPart(source, columns, rows));
    const resized = columnsFirst
      ? resizer.rows(resizer.columns(part, rows), columns)
      : resizer.columns(resizer.rows(part, columns), rows);
    return resizer.read(resized);
  });
}

/** 16-bit samples of one channel, summed in floating point as Pillow does it; `[target.height, target.width]`. */
export function resample16(source: Samples<Uint16Array>, target: Target, mixing: Mixing): Uint16Array {
  const { columns, rows, columnsFirst } = plan(source, target, mixing);
  const part = readPart(source, columns, rows);
  return (
    columnsFirst
      ? resize16(resize16(part, rows, "down"), columns, "across")
      : resize16(resize16(part, columns, "across"), rows, "down")
  ).data;
}

function resize16(source: Samples<Uint16Array>, axis: Axis, direction: "across" | "down"): Samples<Uint16Array> {
  const { taps, first, count, weights } = axis;
  const width = direction === "across" ? first.length : source.width;
  const height = direction === "down" ? first.length : source.height;
  const data = new Uint16Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = direction === "across" ? x : y;
      let sum = 0;
      for (let t = 0; t < count[i]!; t++) {
        const input = first[i]! - first[0]! + t;
        const row = source.top + (direction === "across" ? y : input);
        const column = source.left + (direction === "across" ? input : x);
        sum += source.data[row * source.stride + column]! * weights[i * taps + t]!;
      }
      data[y * width + x] = clip16(sum);
    }
  }
  return { data, stride: width, channels: 1, left: 0, top: 0, width, height };
}

/** Rounds half up and clips. */
const clip16 = (value: number): number => Math.min(0xffff, Math.max(0, Math.floor(value + 0.5)));

/** The nearest pixel of each, for pictures whose values cannot be mixed. */
export function resampleNearest(source: Samples, target: Target): Uint8Array {
  const { channels } = source;
  const columns = nearestInputs(source.width, target.fullWidth);
  const rows = nearestInputs(source.height, target.fullHeight);
  const out = new Uint8Array(target.width * target.height * channels);
  let to = 0;
  for (let y = 0; y < target.height; y++) {
    const row = (source.top + rows[target.top + y]!) * source.stride + source.left;
    for (let x = 0; x < target.width; x++) {
      const from = (row + columns[target.left + x]!) * channels;
      for (let c = 0; c < channels; c++) out[to++] = source.data[from + c]!;
    }
  }
  return out;
}
