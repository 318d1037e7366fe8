/** @file Batches in micro-batches, and shared among ranks, are learned from as if they were taken at once. */
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { type ClipConfig, initialise, parameterTable } from "../../src/clip/index.js";
import { randomStream } from "../../src/image/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { arenaLayout, keptPatches, Trainer, type TrainerOptions, type TrainingBatch } from "../../src/train/index.js";
import { golden, goldenModel, largestDifference } from "../clip/goldenModel.js";
import { hasShared, shared } from "../goldens.js";
import { fakeRanks } from "./fakeRanks.js";
import { batchFor, batchSize, resnet, sigmoidVit, vit } from "./smallModels.js";

const runtime = nodeRuntime({ threads: 1 });
const adamw = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2, clipNorm: 1 };
/** The part of a batch that is rank `rank`'s of `size`. */
function shareOf(batch: TrainingBatch, rank: number, size: number): TrainingBatch {
  const part = <T extends Float32Array | Int32Array>(all: T) =>
    all.subarray((all.length / size) * rank, (all.length / size) * (rank + 1)) as T;
  const { pixels, ids, lengths, group, patches, teacher } = batch;
  return {
    ...batch,
    size: batch.size / size,
    pixels: part(pixels),
    ids: part(ids),
    lengths: part(lengths!),
    group: part(group),
    patches: patches && part(patches),
    teacher: { image: part(teacher!.image), text: part(teacher!.text) },
  };
}

interface Learned {
  readonly report: Record<string, number>;
  readonly gradients: Float32Array;
  readonly parameters: Float32Array;
}

/** One step on each of `ranks`: what it said, its gradients, and what became of the parameters. */
function learn(config: ClipConfig, options: Partial<TrainerOptions> = {}, ranks = fakeRanks(1)): Promise<Learned[]> {
  const values = initialise(config, randomStream([1]), parameterTable(config, { lora: options.lora }));
  values.get("logit_scale")!.data[0] = Math.log(30);
  const seeds = Array.from({ length: batchSize }, (_, row) => [row]);
  const patches = options.patchDropout && keptPatches(16, options.patchDropout, seeds);
  const batch = { ...batchFor(config), ...(patches && { patches }) };
  return Promise.all(
    ranks.map(async (each) => {
      const trainer = await Trainer.create(config, values, { ...adamw, batchSize, ...options }, runtime, each);
      const report = await trainer.step(shareOf(batch, each.rank, each.size), 1e-3);
      const { parameters } = await trainer.state();
      const gradients = trainer.gradients!;
      await trainer.dispose();
      return { report: { ...report }, gradients, parameters };
    }),
  );
}

function expectSame(actual: Learned, expected: Learned): void {
  for (const [name, value] of Object.entries(expected.report)) {
    expect(Math.abs(actual.report[name]! - value), name).toBeLessThan(1e-5 * Math.max(Math.abs(value), 0.1));
  }
  const largest = expected.gradients.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(largestDifference(actual.gradients, expected.gradients) / largest, "gradients").toBeLessThan(1e-5);
}

const distillation = { features: 0.5, similarity: 2, temperature: 0.1 };
const objectives: readonly [string, ClipConfig, Partial<TrainerOptions>][] = [
  ["softmax", vit, {}],
  ["sigmoid", sigmoidVit, {}],
  ["softmax with label smoothing", vit, { loss: { kind: "softmax", labelSmoothing: 0.1 } }],
  ["softmax with a teacher", vit, { distillation }],
  ["sigmoid with a teacher's similarities", sigmoidVit, { distillation: { similarity: 1, temperature: 0.05 } }],
];

/** Ranks, and batchSize in a micro-batch. */
const divisions: readonly (readonly [number, number])[] = [
  [1, 4],
  [1, 2],
  [2, 4],
  [4, 2],
  [2, 3],
];

describe.each(objectives)("%s", (name, config, options) => {
  const whole = learn(config, options).then(([only]) => only!);
  const few = divisions.slice(name.includes(" ") ? -1 : 0);

  test.each(few)(
    "on %i ranks, in micro-batches of %i: report and every gradient as at once",
    async (size, microBatch) => {
      const learned = await learn(config, { ...options, microBatch }, fakeRanks(size));
      expectSame(learned[0]!, await whole);
      for (const each of learned) expect(each).toEqual(learned[0]); // to the bit
    },
  );
});

test("a ResNet on ranks learns, and averages, as one process with their shares as micro-batches", async () => {
  const [alone] = await learn(resnet, { microBatch: 4 });
  const learned = await learn(resnet, {}, fakeRanks(2));
  expectSame(learned[0]!, alone!);
  expect(learned[1]).toEqual(learned[0]);
  const { learned: behind } = arenaLayout(parameterTable(resnet));
  const averages = ({ parameters }: Learned) => parameters.subarray(behind);
  expect(largestDifference(averages(learned[0]!), averages(alone!))).toBeLessThan(1e-6);
  expect(averages(alone!).some((value) => value !== 0 && value !== 1)).toBe(true);
});

test.each<[string, Partial<TrainerOptions>]>([
  ["adapters alone", { lora: { rank: 2, alpha: 4, targets: "both" } }],
  ["a locked picture tower", { lock: { image: true } }],
  ["half of the patches", { patchDropout: 0.5 }],
])("with %s, micro-batches change nothing", async (_, options) => {
  const [whole] = await learn(vit, options);
  const [accumulated] = await learn(vit, { ...options, microBatch: 3 });
  expectSame(accumulated!, whole!);
});

test.each([
  [2, undefined],
  [2, 2],
  [4, 1],
])("with half of the patches, %i ranks in micro-batches of %s learn as one process", async (size, microBatch) => {
  const options = { patchDropout: 0.5 };
  const [whole] = await learn(vit, options);
  const learned = await learn(vit, { ...options, ...(microBatch && { microBatch }) }, fakeRanks(size));
  expectSame(learned[0]!, whole!);
  for (const each of learned) expect(each).toEqual(learned[0]); // to the bit
  const [all] = await learn(vit);
  expect(Math.abs(all!.report.loss! - whole!.report.loss!)).toBeGreaterThan(1e-3); // patches do matter
});

test("a recipe with a teacher needs its embeddings, as wide as the model's where features are compared", async () => {
  const trainer = await Trainer.create(
    vit,
    initialise(vit, randomStream([1])),
    { ...adamw, batchSize, distillation },
    runtime,
  );
  const { teacher, ...without } = batchFor(vit);
  await expect(trainer.step(without, 1e-3)).rejects.toMatchObject({ code: "NoTeacher" });
  const half = (all: Float32Array) => all.subarray(0, all.length / 2);
  const narrow = { image: half(teacher!.image), text: half(teacher!.text) };
  await expect(trainer.step({ ...without, teacher: narrow }, 1e-3)).rejects.toMatchObject({ code: "TeacherWidth" });
  await trainer.dispose();
});

interface Curve {
  readonly hyper: { readonly grad_clip_norm: number; readonly start_logit_scale: number | null };
  readonly log: readonly { readonly lr: number; readonly loss: number; readonly grad_norm_before_clip: number }[];
}

describe.skipIf(!hasShared)("the reference's thirty steps of whole batches", () => {
  test.each([
    ["plain", 2, 1],
    ["clamp", 4, 2],
  ])(
    "%s, in micro-batches of %i on %i ranks: its losses and gradient norms within 1e-3",
    async (name, microBatch, size) => {
      const curves = JSON.parse(await readFile(shared("goldens/train/curves.json"), "utf8")) as Record<string, Curve>;
      const { hyper, log } = curves[name]!;
      const data = await golden("train/batches");
      const [images, tokens] = [data.get("images_u8")!.data, data.get("tokens")!.data];
      const { config, parameters } = await goldenModel("vit-gelu");
      if (hyper.start_logit_scale) parameters.get("logit_scale")!.data[0] = hyper.start_logit_scale;
      const options = { ...adamw, clipNorm: hyper.grad_clip_norm, batchSize, microBatch };
      await Promise.all(
        fakeRanks(size).map(async (ranks) => {
          const trainer = await Trainer.create(config, parameters, options, runtime, ranks);
          const share = batchSize / size;
          for (const [step, expected] of log.entries()) {
            const first = 8 * (step % 3) + ranks.rank * share;
            const rows = (all: Float32Array) =>
              all.subarray((all.length / 24) * first, (all.length / 24) * (first + share));
            const batch: TrainingBatch = {
              pixels: rows(images).map((v) => v / 128 - 1),
              ids: Int32Array.from(rows(tokens)),
              length: 77,
              size: share,
              group: Int32Array.from({ length: share }, (_, row) => first + row),
            };
            const { loss, gradientNorm } = await trainer.step(batch, expected.lr);
            const { grad_norm_before_clip: norm } = expected;
            expect(Math.abs(loss - expected.loss), `loss of step ${step}`).toBeLessThan(1e-3);
            expect(Math.abs(gradientNorm - norm), `norm of step ${step}`).toBeLessThan(1e-3 * (1 + norm));
          }
          await trainer.dispose();
        }),
      );
    },
  );
});
