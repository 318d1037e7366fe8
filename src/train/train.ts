/**
 * @file A training run from a recipe to a checkpoint, read top to bottom: data, starting state, steps, saves.
 * What its folder holds is `runFolder.ts`'s, what it starts from `start.ts`'s; whoever watches it is an `Observer`.
 */
import { appendFile } from "node:fs/promises";
import { ignoresPadding } from "../clip/index.js";
import {
  type Batch,
  batches,
  groupRows,
  openSource,
  type Position,
  type Source,
  stepsPerEpoch,
} from "../data/index.js";
import { DiptychError } from "../errors.js";
import type { PicturePool } from "../image/node.js";
import type { Runtime } from "../runtime/index.js";
import type { Hooks, Observer, StepReport } from "./observer.js";
import { patchesFor } from "./patchDropout.js";
import { alone, type Ranks } from "./ranks.js";
import type { Recipe } from "./recipe.js";
import { loadRun, openLog, refuseToOverwrite, saveRun } from "./runFolder.js";
import { learningRate } from "./schedule.js";
import { type StartingState, startingState } from "./start.js";
import { Trainer } from "./step.js";
import { teach } from "./teacher.js";
import { type Validation, validateRun } from "./validation.js";

export interface TrainOptions {
  /** Folder of the run. */
  readonly out: string;
  /** Folder that relative paths in the recipe start from. */
  readonly base: string;
  readonly runtime: Runtime;
  readonly pool: PicturePool;
  /** Go on from the newest checkpoint in `out`. */
  readonly resume?: boolean;
  /** The processes that train together, each with the same recipe; the first of them saves and logs. */
  readonly ranks?: Ranks;
  /** Called in this order, at the start and with every step. */
  readonly observers?: readonly Observer[];
  /** Told what goes on before the first step. */
  readonly onProgress?: (progress: string) => void;
  /** Told about each sample that is left out. */
  readonly onProblem?: (problem: string) => void;
  /** Aborting saves and ends the run after the step under way. */
  readonly signal?: AbortSignal;
}

export interface TrainResult {
  readonly steps: number;
  readonly finished: boolean;
  readonly unreadable: number;
}

/** Trains a CLIP. @throws DiptychError for what is wrong with the recipe or its data. */
export async function train(recipe: Recipe, options: TrainOptions): Promise<TrainResult> {
  const { out, runtime, pool, ranks = alone, observers = [], onProblem, signal } = options;
  const isFirst = ranks.rank === 0;
  const atEnd: (() => unknown)[] = [];
  try {
    // ---- data
    const { teacher } = recipe;
    const source = await openSource(
      recipe.data,
      options.base,
      teacher && (await teach(teacher, { ...options, ranks })),
    );
    atEnd.push(() => source.close());
    for (const problem of source.problems) onProblem?.(problem);

    // ---- starting state
    const { trainer, start, resumed } = await openTrainer(recipe, source, options, ranks);
    atEnd.push(() => trainer.dispose());
    const { config, preprocess, tokenizer } = start;
    let step = trainer.steps;
    await allAt(step, ranks);
    let savedAt = step;
    let unreadable = 0;

    // ---- who watches
    const perEpoch = stepsPerEpoch(source.length, recipe.batchSize);
    const steps = stepsOf(recipe, perEpoch);
    const plan = { pairs: source.length, steps, firstStep: step };
    const stop = new AbortController();
    const run = {
      recipe,
      out,
      base: options.base,
      source,
      pool,
      config,
      preprocess,
      tokenizer,
      trainer,
      plan,
      stop: () => stop.abort(),
    };
    const hooks: Hooks[] = [];
    const { validation } = recipe;
    const onValidation = async (result: Validation): Promise<void> => {
      for (const hook of hooks) await hook.onValidation?.(result);
    };
    const validate: Observer[] =
      validation && isFirst ? [() => validateRun(validation, run, { runtime, onValidation })] : [];
    for (const observer of [...validate, ...observers]) {
      const told = await observer(run);
      hooks.push(told);
      atEnd.push(() => told.onEnd?.());
    }
    const save = async (): Promise<void> => {
      if (isFirst) {
        const folder = await saveRun(out, recipe, start, trainer);
        for (const { onSave } of hooks) await onSave?.(folder, step);
      }
      await ranks.barrier();
      savedAt = step;
    };
    if (!resumed) await save(); // a run that cannot save should fail now, not after the first hour
    const log = isFirst ? await openLog(out, "log.jsonl", step) : null;

    // ---- steps
    const stream = batches(source, {
      ...recipe,
      tokenizer,
      contextLength: config.text.contextLength,
      padTo: ignoresPadding(config) ? "longest" : "context",
      preprocess,
      pool,
      ranks,
      start: positionOf(step, perEpoch),
      onUnreadable: (error) => {
        unreadable++;
        onProblem?.(error.message);
      },
    });
    let since = performance.now();
    if (step < steps && !(await anyOf(ranks, stop.signal.aborted))) {
      for await (const pairs of stream) {
        const waited = performance.now() - since;
        const { patchDropout, seed } = recipe;
        const patches = patchDropout === undefined ? undefined : patchesFor(config, patchDropout, seed, pairs);
        const batch = { ...pairs, group: await groupOf(pairs, ranks), patches };
        const rate = learningRate(step, recipe, steps);
        const result = await trainer.step(batch, rate);
        const seconds = (performance.now() - since) / 1000;
        const report: StepReport = {
          step,
          steps,
          epoch: batch.position.epoch,
          ...result,
          learningRate: rate,
          seconds,
          pairsPerSecond: recipe.batchSize / seconds,
          waiting: waited / 1000 / seconds,
          truncated: pairs.truncated,
        };
        if (log) await appendFile(log, `${JSON.stringify(report)}\n`);
        for (const { onStep } of hooks) await onStep?.(report, batch);
        if (!Number.isFinite(report.loss + report.gradientNorm)) throw diverged(step, savedAt);
        step++;
        const ends = step === steps || (await anyOf(ranks, stop.signal.aborted || signal?.aborted === true));
        if (ends || step % recipe.saveEvery === 0) await save();
        if (ends) break;
        since = performance.now();
      }
    }
    return { steps: step, finished: step === steps || stop.signal.aborted, unreadable };
  } finally {
    for (const end of atEnd.reverse()) await end();
  }
}

/** A trainer in the state that a run starts from. Here, so that nothing of the run holds the weights a second time. */
async function openTrainer(
  recipe: Recipe,
  source: Source,
  { out, base, resume, runtime }: TrainOptions,
  ranks: Ranks,
): Promise<{ trainer: Trainer; start: Omit<StartingState, "parameters">; resumed: boolean }> {
  const run = resume ? await loadRun(out, recipe) : null;
  if (!run) await refuseToOverwrite(out);
  const { parameters, config, preprocess, tokenizer } = run ?? (await startingState(recipe, source, base));
  const trainer = await Trainer.create(config, parameters, recipe, runtime, ranks, run?.saved);
  return { trainer, start: { config, preprocess, tokenizer }, resumed: run !== null };
}

const stepsOf = ({ epochs, samples, batchSize }: Recipe, perEpoch: number): number =>
  Math.max(1, epochs === undefined ? Math.ceil(samples / batchSize) : Math.round(perEpoch * epochs));

const positionOf = (step: number, perEpoch: number): Position => ({
  epoch: Math.floor(step / perEpoch),
  step: step % perEpoch,
});

/** Numbers of this process's rows that mean the same on all ranks: the first row, of the whole batch, that says the same. */
async function groupOf({ keys, size }: Batch, ranks: Ranks): Promise<Int32Array> {
  return groupRows(await ranks.allGather(keys)).subarray(ranks.rank * size, (ranks.rank + 1) * size);
}

/** Waits for all ranks. @throws DiptychError "RanksDiffer" where they have not loaded the same checkpoint */
async function allAt(step: number, ranks: Ranks): Promise<void> {
  const steps = await ranks.allGather(Int32Array.of(step));
  if (steps.every((other) => other === step)) return;
  const problem = `The ranks start from steps ${steps.join(", ")}.`;
  throw new DiptychError("RanksDiffer", problem, "Give all of them the same folder, on a disk that they share.");
}

/** Whether one of the processes says so; they end together or not at all. */
async function anyOf(ranks: Ranks, here: boolean): Promise<boolean> {
  return (await ranks.allGather(Int32Array.of(Number(here)))).includes(1);
}

const diverged = (step: number, savedAt: number): DiptychError =>
  new DiptychError(
    "Diverged",
    `The loss or the gradient of step ${step} is not a finite number.`,
    `The checkpoint of step ${savedAt} is intact: lower the learning rate or lengthen the warm-up.`,
  );
