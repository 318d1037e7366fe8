/**
 * @file What a run goes on from: parameters, both moments, and their running average where one is kept; arenas of one layout
 * in the process's memory, and the names that a checkpoint, and a device, know their parts by.
 */
import { DiptychError } from "../errors.js";
import type { FloatTensor } from "../runtime/index.js";
import { arenaViews, type Layout, type Views } from "./arena.js";

export interface State {
  readonly parameters: Float32Array;
  /** Of what is learned, as the others: AdamW's moments. */
  readonly first: Float32Array;
  readonly second: Float32Array;
  /** The parameters' running average, where one is kept. */
  readonly average: Float32Array | null;
}

/** A state as it was saved, `steps` updates after the start. */
export interface SavedState {
  readonly steps: number;
  /** All but the parameters, by name. */
  readonly tensors: ReadonlyMap<string, { readonly data: Float32Array }>;
}

/** Zeros. */
export const emptyState = ({ length, learned }: Layout, averages: boolean): State => ({
  parameters: new Float32Array(length),
  first: new Float32Array(learned),
  second: new Float32Array(learned),
  average: averages ? new Float32Array(learned) : null,
});

/**
 * The state that a run begins, or goes on, with; values are copied.
 * @throws DiptychError "DamagedRun" where `saved` lacks a part
 */
export function startState(
  layout: Layout,
  values: ReadonlyMap<string, { readonly data: Float32Array }>,
  averages: boolean,
  saved?: SavedState,
): State {
  const state = emptyState(layout, averages);
  for (const [name, { data }] of arenaViews(layout, state.parameters)) data.set(values.get(name)!.data);
  state.average?.set(state.parameters.subarray(0, layout.learned));
  for (const [name, { data }] of saved ? besideParameters(layout, state) : []) {
    const tensor = saved?.tensors.get(name);
    if (!tensor) {
      throw new DiptychError("DamagedRun", `The checkpoint has no ${name}.`, "Restore the file training.safetensors.");
    }
    data.set(tensor.data);
  }
  return state;
}

/** Before a parameter's name: what is kept of it beside its value. */
export const prefixes = { first: "first moment of ", second: "second moment of ", average: "average of " } as const;

/** All of a state but the parameters, as views by name. */
export function besideParameters(layout: Layout, state: State): Views {
  const kinds = ["first", "second", "average"] as const;
  return new Map(
    kinds.flatMap((kind) =>
      Array.from(state[kind] ? arenaViews(layout, state[kind]) : [], ([name, view]) => [prefixes[kind] + name, view]),
    ),
  );
}

/** All of a state as views by name. */
export const everything = (layout: Layout, state: State): ReadonlyMap<string, FloatTensor> =>
  new Map([...arenaViews(layout, state.parameters), ...besideParameters(layout, state)]);
