/**
 * @file Retrieval on held-out pairs as a run goes: a line in `validation.jsonl` each time, the best model so far in the
 * folder `best`, and the run's end when nothing has got better for a while (early stopping; Prechelt 1998).
 * What is judged, and kept, is the model as it is published (`published.ts`).
 */
import { appendFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { saveCheckpoint } from "../checkpoint/node.js";
import { openSource } from "../data/index.js";
import type { Runtime } from "../runtime/index.js";
import { createClip, evaluateRetrieval, type RetrievalMetrics } from "../tasks/index.js";
import { arenaViews } from "./arena.js";
import type { Hooks, OpenRun } from "./observer.js";
import { poolPictures } from "./poolPictures.js";
import { published } from "./published.js";
import { openLog, readLog } from "./runFolder.js";

const metrics = {
  "text-to-image recall@1": ({ textToImage }) => textToImage["recall@1"],
  "text-to-image recall@5": ({ textToImage }) => textToImage["recall@5"],
  "text-to-image recall@10": ({ textToImage }) => textToImage["recall@10"],
  "image-to-text recall@1": ({ imageToText }) => imageToText["recall@1"],
  "image-to-text recall@5": ({ imageToText }) => imageToText["recall@5"],
  "image-to-text recall@10": ({ imageToText }) => imageToText["recall@10"],
} as const satisfies Readonly<Record<string, (result: RetrievalMetrics) => number>>;
type Metric = keyof typeof metrics;

export const validationSchema = z.strictObject({
  /** Held-out pairs, given as a recipe's `data` is. */
  data: z.unknown(),
  /** Steps from one validation to the next; there is one at the end too. */
  every: z.number().int().positive(),
  /** Ends the run when so many validations in a row have brought nothing better. */
  patience: z.number().int().positive().optional(),
  /** What is to get better. */
  metric: z.enum(Object.keys(metrics) as [Metric, ...Metric[]]).default("text-to-image recall@1"),
});
export type ValidationOptions = z.infer<typeof validationSchema>;

/** One line of `validation.jsonl`. */
export interface Validation extends RetrievalMetrics {
  /** The last step before it, counted from 0. */
  readonly step: number;
  /** Whether nothing before was as good. */
  readonly best: boolean;
}

interface Surroundings {
  readonly runtime: Runtime;
  readonly onValidation: (validation: Validation) => unknown;
}

/** Opens the held-out pairs, and takes up the validations of an earlier part of the run. */
export async function validateRun(
  { data, every, patience = Number.POSITIVE_INFINITY, metric }: ValidationOptions,
  run: OpenRun,
  { runtime, onValidation }: Surroundings,
): Promise<Hooks> {
  const { out, base, trainer, plan, pool } = run;
  const log = await openLog(out, "validation.jsonl", plan.firstStep);
  const done = await readLog<Validation>(log);
  const sinceBest = () => done.length - 1 - done.findLastIndex(({ best }) => best);
  const stopIfStale = () => done.length > 0 && sinceBest() >= patience && run.stop();
  stopIfStale();
  const source = await openSource(data, base);

  return {
    onStep: async ({ step, steps }) => {
      if ((step + 1) % every !== 0 && step + 1 !== steps) return;
      const { config, preprocess, tokenizer } = run;
      const origin = `Trained by Diptych: the best of a run by ${metric} on held-out pairs.`;
      const state = await trainer.state();
      const parameters = published(trainer, state, arenaViews(trainer.layout, state.parameters));
      const model = { config, preprocess, tokenizer, parameters, origin };
      const clip = createClip(model, runtime, poolPictures(pool));
      const { textToImage, imageToText } = await evaluateRetrieval(clip, source).finally(clip.dispose);
      const result = { textToImage, imageToText };
      const best = done.every((earlier) => metrics[metric](earlier) < metrics[metric](result));
      const validation = { step, ...result, best };
      if (best) await saveCheckpoint(path.join(out, "best"), model);
      await appendFile(log, `${JSON.stringify(validation)}\n`);
      done.push(validation);
      await onValidation(validation);
      stopIfStale();
    },
    onEnd: () => source.close(),
  };
}
