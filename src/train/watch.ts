/**
 * @file What a run leaves for those who watch it, beside its log: its recipe, TensorBoard's event files, the
 * diagnostician's remarks (`remarks.jsonl`), and the similarities of a few fixed pairs at every save (`probe.jsonl`).
 */
import { appendFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { defaultLoss } from "../clip/index.js";
import { createEventFile, type Summary } from "./eventFile.js";
import { createMonitor, repetition } from "./monitor.js";
import type { Observer, OpenRun, StepReport } from "./observer.js";
import { heatMap, openProbe } from "./probe.js";
import type { Remark, RunFacts } from "./remark.js";
import { openLog, readLog } from "./runFolder.js";
import type { Validation } from "./validation.js";

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
    for (const validation of await readLog<Validation>(path.join(out, "validation.jsonl")))
      monitor.validated(validation);
    const probe = await openProbe(run);
    return {
      onStep: async (report, batch) => {
        await events.write(report.step, scalars(report));
        for (const remark of monitor.step({ ...report, ...repetition(batch) })) {
          await appendFile(remarks, `${JSON.stringify(remark)}\n`);
          onRemark?.(remark);
        }
      },
      onValidation: async (validation) => {
        monitor.validated(validation);
        await events.write(validation.step, recalls(validation));
      },
      onSave: async (_, step) => {
        // beside the last step's values: what stands at the next one is void when the run is resumed
        const picture = await heatMap(await probe(step));
        await events.write(Math.max(0, step - 1), [{ tag: "probe", ...picture }]);
      },
      onEnd: () => events.close(),
    };
  };

const factsOf = ({ recipe, config, plan }: OpenRun): RunFacts => ({
  ...recipe,
  pairs: plan.pairs,
  softmax: (recipe.loss ?? defaultLoss(config)).kind === "softmax" && recipe.distillation === undefined,
  fineTuning: recipe.from !== undefined && recipe.lora === undefined,
});

const tags: readonly (readonly [tag: string, key: keyof StepReport])[] = [
  ["loss", "loss"],
  ["accuracy/image", "imageAccuracy"],
  ["accuracy/text", "textAccuracy"],
  ["cosine/image", "imageCosine"],
  ["cosine/text", "textCosine"],
  ["logit_scale", "logitScale"],
  ["gradient_norm", "gradientNorm"],
  ["learning_rate", "learningRate"],
  ["speed/pairs_per_second", "pairsPerSecond"],
  ["speed/waiting", "waiting"],
];

const scalars = (report: StepReport): Summary[] => tags.map(([tag, key]) => ({ tag, scalar: report[key] }));

const recalls = ({ textToImage, imageToText }: Validation): Summary[] => [
  { tag: "validation/text_to_image_recall_at_1", scalar: textToImage["recall@1"] },
  { tag: "validation/image_to_text_recall_at_1", scalar: imageToText["recall@1"] },
];
