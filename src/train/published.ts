/**
 * @file The model that a run's checkpoint holds, for every tool to use: averaged where a run averages, adapters merged.
 * What training itself goes on from then differs from it, and is saved along.
 */
import { mergeAdapters } from "../clip/index.js";
import { arenaViews } from "./arena.js";
import type { State } from "./state.js";
import type { Trainer } from "./step.js";

type Values = ReadonlyMap<string, { readonly data: Float32Array; readonly shape: readonly number[] }>;

/** @param named the parameters of `state` by name; those that are published as they are keep their arrays */
export function published({ layout, options }: Trainer, { average }: State, named: Values): Values {
  const averaged: Values = average ? new Map([...named, ...arenaViews(layout, average)]) : named;
  return options.lora ? mergeAdapters(options.lora, averaged) : averaged;
}
