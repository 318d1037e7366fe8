/**
 * @file A training run from a recipe to a checkpoint, read top to bottom: data, tokenizer, model, steps, saves.
 * The run's folder holds the checkpoint (weights, config, tokenizer, optimiser state) and `log.jsonl`, a line a step.
 */
import { appendFile, mkdir } from "node:fs/promises";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Checkpoint, loadCheckpoint, loadTraining, saveCheckpoint } from "../checkpoint/node.js";
import { type ClipConfig, ignoresPadding, initialise, presets } from "../clip/index.js";
import { batches, captions, openSource, type Position, type Source, stepsPerEpoch } from "../data/index.js";
import { DiptychError } from "../errors.js";
import { openaiPreprocess, randomStream } from "../image/index.js";
import type { PicturePool } from "../image/node.js";
import type { Runtime } from "../runtime/index.js";
import { createTokenizer, type Tokenizer, trainMerges } from "../tokenizer/index.js";
import { loadClipTokenizer } from "../tokenizer/node.js";
import { arenaViews } from "./arena.js";
import type { Recipe } from "./recipe.js";
import { learningRate } from "./schedule.js";
import { type StepResult, Trainer } from "./step.js";

/** One line of `log.jsonl`. */
export interface StepReport extends StepResult {
  /** Counts from 0 over the whole run. */
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  readonly learningRate: number;
  readonly seconds: number;
  readonly pairsPerSecond: number;
  /** Share of the step's time spent waiting for data. */
  readonly waiting: number;
}

export interface TrainOptions {
  /** Folder of the run. */
  readonly out: string;
  /** Folder that relative paths in the recipe start from. */
  readonly base: string;
  readonly runtime: Runtime;
  readonly pool: PicturePool;
  /** Go on from the checkpoint in `out`. */
  readonly resume?: boolean;
  readonly onStart?: (plan: TrainPlan) => void;
  readonly onStep?: (report: StepReport) => void;
  /** Told about each sample that is left out. */
  readonly onProblem?: (problem: string) => void;
  /** Aborting saves and ends the run after the step under way. */
  readonly signal?: AbortSignal;
}

export interface TrainPlan {
  readonly pairs: number;
  readonly steps: number;
  readonly firstStep: number;
  readonly parameters: number;
  readonly vocabulary: number;
}

export interface TrainResult {
  readonly steps: number;
  readonly finished: boolean;
  readonly unreadable: number;
}

/** Trains a CLIP. @throws DiptychError for what is wrong with the recipe or its data. */
export async function train(recipe: Recipe, options: TrainOptions): Promise<TrainResult> {
  const { out, runtime, pool, onStart, onStep, onProblem, signal } = options;

  // ---- data and tokenizer
  const source = await openSource(recipe.data, options.base);
  try {
    for (const problem of source.problems) onProblem?.(problem);
    const resumed = options.resume ? await loadRun(out, recipe) : null;
    if (!resumed) await refuseToOverwrite(out);
    const tokenizer = resumed?.checkpoint.tokenizer ?? (await chooseTokenizer(recipe, source));

    // ---- model
    const sizes: ClipConfig = typeof recipe.model === "string" ? presets[recipe.model] : recipe.model;
    const config = { ...sizes, text: { ...sizes.text, vocabularySize: tokenizer.vocabularySize } };
    const preprocess = openaiPreprocess(config.image.imageSize);
    const values = resumed?.checkpoint.parameters ?? initialise(config, randomStream([recipe.seed]));
    const trainer = await Trainer.create(config, values, recipe.batchSize, recipe, runtime);
    if (resumed) restore(trainer, resumed);

    // ---- steps
    const perEpoch = stepsPerEpoch(source.length, recipe.batchSize);
    const steps = Math.max(1, Math.round(perEpoch * recipe.epochs));
    let step = trainer.optimiser.steps;
    let unreadable = 0;
    onStart?.({
      pairs: source.length,
      steps,
      firstStep: step,
      parameters: trainer.layout.length,
      vocabulary: tokenizer.vocabularySize,
    });
    const save = (checkpoint: Omit<Checkpoint, "origin" | "parameters">) =>
      saveCheckpoint(
        out,
        { ...checkpoint, parameters: trainer.named(), origin: "Trained by Diptych." },
        {
          training: { tensors: moments(trainer), state: { step, recipe } satisfies RunState },
        },
      );
    const checkpoint = { config, preprocess, tokenizer };
    await mkdir(out, { recursive: true });
    if (!resumed) await save(checkpoint); // a run that cannot save should fail now, not after the first hour
    const stream = batches(source, {
      ...recipe,
      tokenizer,
      contextLength: config.text.contextLength,
      padTo: ignoresPadding(config) ? "longest" : "context",
      preprocess,
      pool,
      start: positionOf(step, perEpoch),
      onUnreadable: (error) => {
        unreadable++;
        onProblem?.(error.message);
      },
    });
    let savedAt = step;
    let since = performance.now();
    try {
      if (step < steps) {
        for await (const batch of stream) {
          const waited = performance.now() - since;
          const rate = learningRate(step, recipe.learningRate, recipe.warmup, steps);
          const result = await trainer.step(batch, rate);
          if (!Number.isFinite(result.loss + result.gradientNorm)) throw diverged(step, savedAt);
          const seconds = (performance.now() - since) / 1000;
          const report: StepReport = {
            step,
            steps,
            epoch: batch.position.epoch,
            ...result,
            learningRate: rate,
            seconds,
            pairsPerSecond: batch.size / seconds,
            waiting: waited / 1000 / seconds,
          };
          await appendFile(path.join(out, "log.jsonl"), `${JSON.stringify(report)}\n`);
          onStep?.(report);
          since = performance.now();
          step++;
          if (step === steps || signal?.aborted) break;
          if (step % recipe.saveEvery === 0) {
            await save(checkpoint);
            savedAt = step;
          }
        }
        await save(checkpoint);
      }
    } finally {
      await trainer.dispose();
    }
    return { steps: step, finished: step === steps, unreadable };
  } finally {
    await source.close();
  }
}

const positionOf = (step: number, perEpoch: number): Position => ({
  epoch: Math.floor(step / perEpoch),
  step: step % perEpoch,
});

async function chooseTokenizer(recipe: Recipe, source: Source): Promise<Tokenizer> {
  if (recipe.tokenizer === "clip") return loadClipTokenizer();
  const texts: string[] = [];
  for await (const caption of captions(source)) texts.push(caption);
  return createTokenizer({ merges: trainMerges(texts, recipe.tokenizer.vocabularySize) });
}

interface Run {
  readonly checkpoint: Checkpoint;
  readonly training: NonNullable<Awaited<ReturnType<typeof loadTraining>>>;
}

interface RunState {
  readonly step: number;
  readonly recipe: Recipe;
}

/** What the weights and the order of the samples follow from; the rest of a recipe may change between parts of a run. */
const fixed = ["model", "data", "tokenizer", "batchSize", "seed"] as const;

async function loadRun(out: string, recipe: Recipe): Promise<Run> {
  const training = await loadTraining(out);
  if (!training) {
    throw new DiptychError("NothingToResume", `${out} holds no run to go on with.`, "Start it without resume.");
  }
  const started = (training.state as RunState).recipe;
  const changed = fixed.find((key) => !isDeepStrictEqual(started[key], recipe[key]));
  if (changed) {
    throw new DiptychError(
      "OtherRecipe",
      `The run in ${out} was started with another "${changed}".`,
      "Go on with that recipe, or start anew in another folder.",
    );
  }
  return { checkpoint: await loadCheckpoint(out), training };
}

async function refuseToOverwrite(out: string): Promise<void> {
  const training = await loadTraining(out);
  const steps = training ? (training.state as RunState).step : 0;
  if (steps > 0) {
    throw new DiptychError("RunExists", `${out} holds a run of ${steps} steps.`, "Resume it, or give another folder.");
  }
}

const momentNames = { first: "first moment of ", second: "second moment of " } as const;

function moments(trainer: Trainer) {
  return (["first", "second"] as const).flatMap((which) =>
    [...arenaViews(trainer.layout, trainer.optimiser[which])].map(([name, view]) => ({
      name: momentNames[which] + name,
      ...view,
    })),
  );
}

function restore(trainer: Trainer, { training }: Run): void {
  const tensors = new Map(training.tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name, data } of moments(trainer)) data.set(tensors.get(name)!.data);
  trainer.optimiser.steps = (training.state as RunState).step;
}

const diverged = (step: number, savedAt: number): DiptychError =>
  new DiptychError(
    "Diverged",
    `The loss or the gradient of step ${step} is not a finite number.`,
    `The checkpoint of step ${savedAt} is intact: lower the learning rate or lengthen the warm-up.`,
  );
