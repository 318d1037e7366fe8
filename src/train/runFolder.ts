/**
 * @file A run's folder: `log.jsonl`, a line a step, and `checkpoints/`, the newest of which the run goes on from. A
 * checkpoint is complete from the moment that it has its name (`generations.ts`), so a run may be killed at any time.
 */
import { mkdir, readFile, truncate } from "node:fs/promises";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  generationFolder,
  loadCheckpoint,
  loadTraining,
  newestCheckpoint,
  type Parameter,
  pruneGenerations,
  saveCheckpoint,
} from "../checkpoint/node.js";
import { DiptychError } from "../errors.js";
import { arenaViews } from "./arena.js";
import { published } from "./published.js";
import type { Recipe } from "./recipe.js";
import type { StartingState } from "./start.js";
import { besideParameters, type SavedState } from "./state.js";
import type { Trainer } from "./step.js";

/** `training.json` of a checkpoint. */
interface RunState {
  /** Steps done. */
  readonly step: number;
  readonly recipe: Recipe;
}

/** A run as its newest checkpoint has it. */
export interface SavedRun extends StartingState {
  readonly saved: SavedState;
}

/** What the weights and the order of the samples follow from; the rest of a recipe may change between parts of a run. */
const fixed = ["from", "model", "lora", "lock", "ema", "data", "tokenizer", "batchSize", "seed"] as const;

/** Before the names of parameters that training goes on from where the model has another value: averaged, or merged. */
const trained = "trained ";

/** @throws DiptychError "NothingToResume", "OtherRecipe" */
export async function loadRun(out: string, recipe: Recipe): Promise<SavedRun> {
  const folder = await newestCheckpoint(out); // once: both parts must be of one checkpoint
  const training = await loadTraining(folder);
  if (!training) {
    throw new DiptychError("NothingToResume", `${out} holds no run to go on with.`, "Start it without resume.");
  }
  const { step, recipe: started } = training.state as RunState;
  const changed = fixed.find((key) => !isDeepStrictEqual(started[key], recipe[key]));
  if (changed) {
    throw new DiptychError(
      "OtherRecipe",
      `The run in ${out} was started with another "${changed}".`,
      "Go on with that recipe, or start anew in another folder.",
    );
  }
  const checkpoint = await loadCheckpoint(folder);
  const { tokenizer } = checkpoint;
  if (!tokenizer) {
    throw new DiptychError("NothingToResume", `The checkpoint ${folder} lacks its tokenizer.`, "Restore its files.");
  }
  const parameters = new Map<string, Parameter>(checkpoint.parameters);
  for (const { name, data, shape } of training.tensors) {
    if (name.startsWith(trained)) parameters.set(name.slice(trained.length), { data, shape });
  }
  const tensors = new Map(training.tensors.map((tensor) => [tensor.name, tensor]));
  return { ...checkpoint, parameters, tokenizer, saved: { steps: step, tensors } };
}

/** @throws DiptychError "RunExists" where a run has got beyond its start */
export async function refuseToOverwrite(out: string): Promise<void> {
  const training = await loadTraining(out);
  const steps = training ? (training.state as RunState).step : 0;
  if (steps > 0) {
    throw new DiptychError("RunExists", `${out} holds a run of ${steps} steps.`, "Resume it, or give another folder.");
  }
}

/** Saves the state after `trainer.steps` steps as the newest checkpoint, and removes the oldest. Returns its folder. */
export async function saveRun(
  out: string,
  recipe: Recipe,
  start: Omit<StartingState, "parameters">,
  trainer: Trainer,
): Promise<string> {
  const step = trainer.steps;
  const folder = generationFolder(out, step);
  const state = await trainer.state();
  const named = arenaViews(trainer.layout, state.parameters);
  const parameters = published(trainer, state, named);
  const others = [...named].filter(([name, { data }]) => parameters.get(name)?.data !== data);
  const tensors = [
    ...besideParameters(trainer.layout, state),
    ...others.map(([name, value]) => [trained + name, value] as const),
  ].map(([name, value]) => ({ name, ...value }));
  await saveCheckpoint(
    folder,
    { ...start, parameters, origin: "Trained by Diptych." },
    { training: { tensors, state: { step, recipe } satisfies RunState } },
  );
  await pruneGenerations(out, recipe.keep);
  return folder;
}

/** A log of the run, of steps before `step` only: a run that was killed has logged more than it has saved. */
export async function openLog(out: string, name: string, step: number): Promise<string> {
  await mkdir(out, { recursive: true });
  const file = path.join(out, name);
  const log = await readFile(file).catch(() => null);
  if (log) await truncate(file, lengthBefore(log, step));
  return file;
}

/** A log's lines; none where there is no file. */
export async function readLog<T>(file: string): Promise<T[]> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as T);
}

/** Bytes of the leading whole lines whose step is below `step`. */
function lengthBefore(log: Uint8Array, step: number): number {
  let start = 0;
  for (let end = log.indexOf(10); end >= 0; end = log.indexOf(10, start)) {
    const line = new TextDecoder().decode(log.subarray(start, end));
    if ((JSON.parse(line) as { step: number }).step >= step) break;
    start = end + 1;
  }
  return start;
}
