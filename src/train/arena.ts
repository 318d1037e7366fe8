/**
 * @file One flat array for all parameters, with a table that maps names to places. Gradients and moments are arenas of the
 * same table, so that clipping, the update and saving are loops over one array.
 */
import type { ParameterSpec } from "../clip/index.js";
import type { FloatTensor } from "../runtime/index.js";

export interface Slot {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
}

/**
 * Where every parameter lies. What is below `decayed` gets weight decay, what is from there to `learned` none; running
 * averages, which have no gradient, lie behind.
 */
export interface Layout {
  readonly slots: readonly Slot[];
  readonly decayed: number;
  readonly learned: number;
  readonly length: number;
}

/** open_clip ≤ 3.3: no decay for gains, biases, the logit scale, and whatever has fewer than two axes. */
export const isDecayed = (name: string, shape: readonly number[]): boolean =>
  shape.length >= 2 && !/bn|ln|bias|logit_scale/.test(name);

export function arenaLayout(table: readonly ParameterSpec[]): Layout {
  const slots: Slot[] = [];
  let length = 0;
  const place = (specs: readonly ParameterSpec[]): number => {
    for (const { name, shape } of specs) {
      const size = shape.reduce((a, b) => a * b, 1);
      slots.push({ name, shape, offset: length, size });
      length += size;
    }
    return length;
  };
  const decays = ({ name, shape }: ParameterSpec) => isDecayed(name, shape);
  const decayed = place(table.filter((spec) => spec.learned && decays(spec)));
  const learned = place(table.filter((spec) => spec.learned && !decays(spec)));
  place(table.filter((spec) => !spec.learned));
  return { slots, decayed, learned, length };
}

export type Views = ReadonlyMap<string, FloatTensor>;

/** Every parameter that the arena reaches to as a view of it: what is fed to, or written by, a program. */
export function arenaViews(layout: Layout, arena: Float32Array): Views {
  return new Map(
    layout.slots
      .filter(({ offset }) => offset < arena.length)
      .map(({ name, shape, offset, size }) => [name, { data: arena.subarray(offset, offset + size), shape }]),
  );
}

/** 256 Ki numbers: so few runs that what a run costs by itself does not count, and all arrays stay in the last-level cache. */
const CHUNK = 1 << 18;

/** `[from, to)` cut into pieces that fit the cache, for one pass of a small program over arenas. */
export function* chunks(from: number, to: number, size = CHUNK): Iterable<readonly [from: number, to: number]> {
  for (let start = from; start < to; start += size) yield [start, Math.min(start + size, to)];
}

/** A stretch of an arena that is updated alike. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly decays: boolean;
  /** Share of the learning rate. */
  readonly rate: number;
}

/** What is learned, in the arena's order. */
export const learnedSlots = ({ slots, learned }: Layout): Slot[] => slots.filter(({ offset }) => offset < learned);

/** Of each parameter that is learned where it lies and how it is updated, in the arena's order. */
export const learnedParts = (
  layout: Layout,
  rateOf: (name: string) => number,
): (Stretch & { readonly name: string })[] =>
  learnedSlots(layout).map(({ name, offset, size }) => ({
    name,
    from: offset,
    to: offset + size,
    decays: offset < layout.decayed,
    rate: rateOf(name),
  }));

/** What is learned, in as few stretches as the shares of the learning rate allow. */
export function stretches(layout: Layout, rateOf: (name: string) => number): Stretch[] {
  const found: Stretch[] = [];
  for (const { from, to, decays, rate } of learnedParts(layout, rateOf)) {
    const last = found.at(-1);
    if (last && last.decays === decays && last.rate === rate) found[found.length - 1] = { ...last, to };
    else found.push({ from, to, decays, rate });
  }
  return found;
}

/** Where the chosen of what is learned lie, neighbours joined. */
export function partsOf({ slots, learned }: Layout, chosen: (name: string) => boolean): (readonly [number, number])[] {
  const parts: (readonly [from: number, to: number])[] = [];
  for (const { name, offset, size } of slots) {
    if (offset >= learned || !chosen(name)) continue;
    const last = parts.at(-1);
    if (last?.[1] === offset) parts[parts.length - 1] = [last[0], offset + size];
    else parts.push([offset, offset + size]);
  }
  return parts;
}
