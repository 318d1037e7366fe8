/**
 * @file What a run leaves for those who watch it, beside its log: its recipe, TensorBoard's event files, the
 * diagnostician's remarks (`remarks.jsonl`), and the similarities of a few fixed pairs at every save (`probe.jsonl`).
 */
import { appendFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { createEventFile, type Summary } from "./eventFile.js";
import { createMonitor, repetition } from "./monitor.js";
import type { Observer, OpenRun, StepReport } from "./observer.js";
import type { Remark, RunFacts } from "./remark.js";
import { openLog, readLog } from "./runFolder.js";

export interface WatchOptions {
  readonly onRemark?: (remark: Remark) => void;
}

export const watchRun =
  ({ onRemark }: WatchOptions = {}): Observer =>
  async (run) => {
    const { out, plan, recipe } = run;
    const events = await createEventFile(path.join(out, "tensorboard"), plan.firstStep);
    const remarks = await openLog(out, "remarks.jsonl", plan.firstStep);
    await writeFile(path.join(out, "recipe.json"), `${JSON.stringify(recipe, null, 2)}\n`);
    const monitor = createMonitor(factsOf(run), await readLog<Remark>(remarks));
    return {
      onStep: async (report, batch) => {
        await events.write(report.step, scalars(report));
        for (const remark of monitor.step({ ...report, ...repetition(batch) })) {
          await appendFile(remarks, `${JSON.stringify(remark)}\n`);
          onRemark?.(remark);
        }
      },
      onEnd: () => events.close(),
    };
  };

const factsOf = ({ recipe, config, plan }: OpenRun): RunFacts => ({
  ...recipe,
  pairs: plan.pairs,
  epochs: (plan.steps * recipe.batchSize) / plan.pairs,
  softmax: !config.logitBias,
  fineTuning: recipe.from !== undefined && recipe.lora === undefined,
});

const tags: readonly (readonly [tag: string, key: keyof StepReport])[] = [
  ["loss", "loss"],
  ["accuracy/image", "imageAccuracy"],
  ["accuracy/text", "textAccuracy"],
  ["logit_scale", "logitScale"],
  ["gradient_norm", "gradientNorm"],
  ["learning_rate", "learningRate"],
  ["speed/pairs_per_second", "pairsPerSecond"],
  ["speed/waiting", "waiting"],
];

const scalars = (report: StepReport): Summary[] => tags.map(([tag, key]) => ({ tag, scalar: report[key] }));
