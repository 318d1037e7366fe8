import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { nodeRuntime } from "../../src/runtime/node.js";
import { type AdamWOptions, arenaViews, learningRate, Trainer, type TrainingBatch } from "../../src/train/index.js";
import { golden, goldenBatch, goldenModel, largestDifference } from "../clip/goldenModel.js";
import { hasShared, shared } from "../goldens.js";

const runtime = nodeRuntime();
const options: AdamWOptions = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2, clipNorm: null };

async function trainerOf(
  batchSize: number,
  changes: Partial<AdamWOptions> = {},
  startLogitScale?: number | null,
  name = "vit-gelu",
) {
  const { config, parameters } = await goldenModel(name);
  if (startLogitScale) parameters.get("logit_scale")!.data[0] = startLogitScale;
  return Trainer.create(config, parameters, { ...options, ...changes, batchSize }, runtime);
}

describe.skipIf(!hasShared).each(["vit", "vit-gelu"])("AdamW on %s", (name) => {
  test("decays what open_clip 3.3 decays", async () => {
    const { groups } = JSON.parse(await readFile(shared(`goldens/models/${name}/adamw.json`), "utf8"));
    const trainer = await trainerOf(6, {}, null, name);
    const { slots, decayed } = trainer.layout;
    const names = (decays: boolean) =>
      slots.filter(({ offset }) => offset < decayed === decays).map((slot) => slot.name);
    expect(names(true).sort()).toEqual([...groups.decay].sort());
    expect(names(false).sort()).toEqual([...groups.no_decay].sort());
    await trainer.dispose();
  });

  test("has PyTorch's losses before, and its parameters after, 1 and 5 steps", async () => {
    const { pixels, ids, group } = await goldenBatch(name);
    const json = JSON.parse(await readFile(shared(`goldens/models/${name}/adamw.json`), "utf8"));
    const trainer = await trainerOf(6, {}, null, name);
    const batch: TrainingBatch = {
      pixels: pixels.data as Float32Array,
      ids: ids.data as Int32Array,
      group: group.data as Int32Array,
      length: 77,
      size: 6,
    };
    /** What the reference's own float32 run differs from its float64 run by, and a half more. */
    const tolerances: Readonly<Record<number, number>> = { 1: 5e-5, 5: 1.5e-4 };
    for (let step = 1; step <= 5; step++) {
      const { loss } = await trainer.step(batch, json.lr);
      expect(Math.abs(loss / json.loss_before_step_fp64[step - 1] - 1)).toBeLessThan(1e-3);
      if (!tolerances[step]) continue;
      const actual = arenaViews(trainer.layout, (await trainer.state()).parameters);
      for (const [tensor, { data }] of actual) {
        const norm = Math.sqrt(data.reduce((sum, v) => sum + v * v, 0));
        expect(Math.abs(norm / json.norms[tensor][`step${step}`] - 1), `norm of ${tensor}`).toBeLessThan(1e-4);
      }
      if (name !== "vit-gelu") continue; // of the other only norms are there
      const expected = await golden(`models/${name}/adamw_step${step}`);
      expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
      for (const [tensor, { data }] of expected) {
        expect(largestDifference(actual.get(tensor)!.data, data), `${tensor} after ${step}`).toBeLessThan(
          tolerances[step],
        );
      }
    }
    await trainer.dispose();
  });
});

interface Curve {
  readonly hyper: {
    steps: number;
    lr: number;
    warmup: number;
    grad_clip_norm: number;
    start_logit_scale: number | null;
  };
  readonly log: readonly {
    lr: number;
    loss: number;
    grad_norm_before_clip: number;
    logit_scale_after: number;
  }[];
  readonly final: Readonly<Record<string, { norm: number; first: number[] }>>;
}

describe.skipIf(!hasShared).each(["plain", "clamp"])("thirty steps: %s", (name) => {
  test("follow PyTorch's losses, rates, gradient norms and logit scales within 1e-3", async () => {
    const curves: Record<string, Curve> = JSON.parse(await readFile(shared("goldens/train/curves.json"), "utf8"));
    const { hyper, log, final } = curves[name]!;
    const data = await golden("train/batches");
    const [images, tokens] = [data.get("images_u8")!.data, data.get("tokens")!.data];
    const trainer = await trainerOf(8, { clipNorm: hyper.grad_clip_norm }, hyper.start_logit_scale);
    const group = Int32Array.from({ length: 8 }, (_, i) => i);
    const rows = (all: Float32Array, batch: number) =>
      all.subarray((batch * all.length) / 3, ((batch + 1) * all.length) / 3);
    for (const [step, expected] of log.entries()) {
      const rate = learningRate(step, { learningRate: hyper.lr, warmup: hyper.warmup }, hyper.steps);
      expect(rate).toBeCloseTo(expected.lr, 12);
      const pixels = rows(images, step % 3).map((v) => v / 128 - 1);
      const ids = Int32Array.from(rows(tokens, step % 3));
      const result = await trainer.step({ pixels, ids, group, length: 77, size: 8 }, rate);
      expect(Math.abs(result.loss - expected.loss), `loss of step ${step}`).toBeLessThan(1e-3);
      const { grad_norm_before_clip: norm } = expected;
      expect(Math.abs(result.gradientNorm - norm), `norm of step ${step}`).toBeLessThan(1e-3 * (1 + norm));
      expect(Math.log(result.logitScale)).toBeCloseTo(expected.logit_scale_after, 3);
    }
    const { parameters } = await trainer.state();
    const views = arenaViews(trainer.layout, parameters);
    for (const [parameter, { norm }] of Object.entries(final)) {
      const { data } = views.get(parameter)!;
      const ours = Math.sqrt(data.reduce((sum, v) => sum + v * v, 0));
      expect(Math.abs(ours - norm) / norm, parameter).toBeLessThan(1e-3);
    }
    await trainer.dispose();
  });
});
