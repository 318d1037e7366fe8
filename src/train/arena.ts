/**
 * @file One flat array for all parameters, with a table that maps names to places. Gradients and moments are arenas of the
 * same table, so that clipping, the update and saving are loops over one array.
 */

export interface Slot {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
}

/** Where every parameter lies. Slots below `decayed` get weight decay, those from there on none. */
export interface Layout {
  readonly slots: readonly Slot[];
  readonly length: number;
  readonly decayed: number;
}

/** open_clip ≤ 3.3: no decay for gains, biases, the logit scale, and whatever has fewer than two axes. */
export const isDecayed = (name: string, shape: readonly number[]): boolean =>
  shape.length >= 2 && !/bn|ln|bias|logit_scale/.test(name);

export function arenaLayout(table: readonly { readonly name: string; readonly shape: readonly number[] }[]): Layout {
  const sorted = [...table].sort((a, b) => Number(isDecayed(b.name, b.shape)) - Number(isDecayed(a.name, a.shape)));
  const slots: Slot[] = [];
  let offset = 0;
  let decayed = 0;
  for (const { name, shape } of sorted) {
    const size = shape.reduce((a, b) => a * b, 1);
    slots.push({ name, shape, offset, size });
    offset += size;
    if (isDecayed(name, shape)) decayed = offset;
  }
  return { slots, length: offset, decayed };
}

/** Every parameter as a view of the arena: what is fed to, or written by, a program. */
export function arenaViews(
  layout: Layout,
  arena: Float32Array,
): Map<string, { readonly data: Float32Array; readonly shape: readonly number[] }> {
  return new Map(
    layout.slots.map(({ name, shape, offset, size }) => [name, { data: arena.subarray(offset, offset + size), shape }]),
  );
}
