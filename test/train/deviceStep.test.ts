/** @file Steps whose state stays on a device do what steps over arenas do; what they hold there they let go. */
import { describe, expect, test } from "vitest";
import { type ClipConfig, initialise, parameterTable } from "../../src/clip/index.js";
import { randomStream } from "../../src/image/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { microBatches } from "../../src/train/batch.js";
import { keptPatches, type State, Trainer, type TrainerOptions } from "../../src/train/index.js";
import { relativeDifference } from "../clip/goldenModel.js";
import { counted, withMemory } from "./deviceMemory.js";
import { fakeRanks } from "./fakeRanks.js";
import { batchFor, batchSize, resnet, sigmoidVit, vit } from "./smallModels.js";

const cpu = nodeRuntime({ threads: 1 });
const adamw = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2, clipNorm: 0.5, batchSize };
const rate = 1e-3;

function valuesOf(config: ClipConfig, { lora }: Partial<TrainerOptions> = {}, logitScale = Math.log(30)) {
  const values = initialise(config, randomStream([1]), parameterTable(config, { lora }));
  values.get("logit_scale")!.data[0] = logitScale;
  return values;
}

function pairsFor(config: ClipConfig, { patchDropout }: Partial<TrainerOptions>) {
  const seeds = Array.from({ length: batchSize }, (_, row) => [row]);
  const patches = patchDropout && keptPatches(16, patchDropout, seeds);
  return { ...batchFor(config), ...(patches && { patches }) };
}

/** A trainer's reports of so many steps, and the state behind them. */
async function steps(trainer: Trainer, count: number, config: ClipConfig, options: Partial<TrainerOptions> = {}) {
  const reports: Record<string, number>[] = [];
  for (let i = 0; i < count; i++) reports.push({ ...(await trainer.step(pairsFor(config, options), rate)) });
  return { reports, state: await trainer.state() };
}

const kinds = ["parameters", "first", "second", "average"] as const satisfies readonly (keyof State)[];

const cases: readonly [string, ClipConfig, Partial<TrainerOptions>][] = [
  ["a ViT, clipped, decayed, layer by layer", vit, { layerDecay: 0.7 }],
  ["a ViT that is not clipped", vit, { clipNorm: null }],
  ["a ViT with a running average", vit, { ema: 0.6 }],
  ["a ViT with a sigmoid's loss and a teacher", sigmoidVit, { distillation: { similarity: 1, temperature: 0.05 } }],
  ["a ResNet and its statistics", resnet, {}],
  ["a ViT with a locked picture tower", vit, { lock: { image: true } }],
  ["adapters, averaged", vit, { lora: { rank: 2, alpha: 4, targets: "both" }, ema: 0.6 }],
  ["a ViT that sees half of the patches", vit, { patchDropout: 0.5 }],
];
/** Of a ResNet, two of four pictures: over two or three, batch normalisation makes 1e-2 of a difference of 1e-8. */
const inParts = cases.map(
  ([name, config, options]) =>
    [`${name}, in micro-batches`, config, { ...options, microBatch: config === resnet ? 4 : 3 }] as const,
);

describe.each([...cases, ...inParts])("%s", (_, config, options) => {
  test("learns on a device what it learns over arenas", async () => {
    const { runtime, traffic } = counted(withMemory(cpu));
    const [expected, actual] = await Promise.all(
      [cpu, runtime].map(async (each) => {
        const trainer = await Trainer.create(config, valuesOf(config, options), { ...adamw, ...options }, each);
        const learned = await steps(trainer, 4, config, options);
        await trainer.dispose();
        return learned;
      }),
    );
    // One program a step; or of each part both towers, again where they learn, and the update.
    const { microBatch = batchSize, lock } = options;
    const parts = Math.ceil(batchSize / microBatch);
    expect(traffic.runs).toHaveLength(4 * (parts === 1 ? 1 : parts * (2 + (lock ? 1 : 2)) + 1));
    for (const [step, report] of expected!.reports.entries()) {
      for (const [name, value] of Object.entries(report)) {
        const away = Math.abs(actual!.reports[step]![name]! - value);
        expect(away, `${name} of step ${step}`).toBeLessThan(1e-5 * Math.max(Math.abs(value), 0.1));
      }
    }
    for (const kind of kinds) {
      const [there, here] = [actual!.state[kind], expected!.state[kind]];
      if (here) expect(relativeDifference(there!, here), kind).toBeLessThan(1e-5);
      else expect(there).toBeNull();
    }
    expect([traffic.held.size, traffic.open]).toEqual([0, 0]);
  });
});

test.each([
  ["above", Math.log(100) + 0.5, 100],
  ["below", -0.5, 1],
])("a logit scale %s its range is brought into it", async (_, start, expected) => {
  const trainer = await Trainer.create(vit, valuesOf(vit, {}, start), adamw, withMemory(cpu));
  const { logitScale } = await trainer.step(batchFor(vit), rate);
  expect(logitScale / expected).toBeCloseTo(1, 5);
  await trainer.dispose();
});

test("what crosses the bus is the batch and what it says: the state at the first step, and when it is asked for", async () => {
  const { runtime, traffic } = counted(withMemory(cpu));
  const trainer = await Trainer.create(vit, valuesOf(vit), adamw, runtime);
  const state = 4 * (trainer.layout.length + 2 * trainer.layout.learned);
  const { pixels, ids, group } = batchFor(vit);
  const batch = pixels.byteLength + ids.byteLength + group.byteLength;
  await trainer.state();
  for (let i = 0; i < 3; i++) await trainer.step(batchFor(vit), rate);
  const [first, ...others] = traffic.runs;
  expect([traffic.put, traffic.fetched]).toEqual([0, 0]);
  expect(first!.fed).toBeGreaterThanOrEqual(state);
  for (const { fed, given } of others) {
    expect(fed).toBe(first!.fed - state);
    expect(fed).toBeLessThan(batch + 100); // and a few scalars
    expect(given).toBeLessThan(4 * (2 * vit.embedSize + 4 * batchSize + 4));
  }
  const parts = traffic.held.size;
  await trainer.state();
  await trainer.similarities(batchFor(vit));
  expect(traffic.fetched).toBe(state);
  await trainer.step(batchFor(vit), rate);
  expect(traffic.held.size).toBe(parts);
  await trainer.dispose();
  expect(traffic.held.size).toBe(0);
});

test("what does not learn is put on the device once", async () => {
  const { runtime, traffic } = counted(withMemory(cpu));
  const trainer = await Trainer.create(vit, valuesOf(vit), { ...adamw, lock: { image: true } }, runtime);
  const { length, learned } = trainer.layout;
  await steps(trainer, 3, vit);
  expect(traffic.put).toBe(4 * (length - learned));
  await trainer.dispose();
  expect(traffic.held.size).toBe(0);
});

test("a resumed run goes on as the uninterrupted one, to the bit", async () => {
  const runtime = withMemory(cpu);
  const options = { ...adamw, ema: 0.6, lock: { image: true as const } };
  const whole = await Trainer.create(vit, valuesOf(vit), options, runtime);
  const expected = await steps(whole, 4, vit);
  await whole.dispose();

  const before = await Trainer.create(vit, valuesOf(vit), options, runtime);
  const { state, reports } = await steps(before, 2, vit);
  const views = (arena: Float32Array, prefix = "") =>
    before.layout.slots
      .filter(({ offset }) => offset < arena.length)
      .map(({ name, offset, size }) => [prefix + name, { data: arena.slice(offset, offset + size) }] as const);
  const tensors = new Map([
    ...views(state.first, "first moment of "),
    ...views(state.second, "second moment of "),
    ...views(state.average!, "average of "),
  ]);
  await before.dispose();
  const after = await Trainer.create(vit, new Map(views(state.parameters)), options, runtime, undefined, {
    steps: 2,
    tensors,
  });
  const resumed = await steps(after, 2, vit);
  expect(after.steps).toBe(4);
  expect([...reports, ...resumed.reports]).toEqual(expected.reports);
  expect(resumed.state).toEqual(expected.state);
  await after.dispose();
});

test("similarities are those of the model as it is", async () => {
  const [expected, actual] = await Promise.all(
    [cpu, withMemory(cpu)].map(async (each) => {
      const trainer = await Trainer.create(vit, valuesOf(vit), adamw, each);
      await trainer.similarities(batchFor(vit));
      await steps(trainer, 2, vit);
      const { data } = await trainer.similarities(batchFor(vit));
      await trainer.dispose();
      return Array.from(data, Number);
    }),
  );
  expect(relativeDifference(actual!, expected!)).toBeLessThan(1e-5);
});

test("of micro-batches neither parameters nor gradients cross", async () => {
  const { runtime, traffic } = counted(withMemory(cpu));
  const microBatch = 3;
  const trainer = await Trainer.create(vit, valuesOf(vit), { ...adamw, microBatch }, runtime);
  await steps(trainer, 1, vit);
  const [{ runs }, { pixels, ids }] = [traffic, batchFor(vit)];
  const [zeros, atFirst, held] = [traffic.put, runs.length, traffic.held.size];
  expect(zeros).toBeLessThan(4 * trainer.layout.learned); // one of a shape
  await steps(trainer, 1, vit);
  const features = 2 * 4 * batchSize * vit.embedSize;
  const fed = runs.slice(atFirst).reduce((sum, run) => sum + run.fed, 0);
  const given = runs.slice(atFirst).reduce((sum, run) => sum + run.given, 0);
  // Both towers take pictures and ids in both directions; then a few scalars.
  expect(fed).toBeLessThan(4 * (pixels.byteLength + ids.byteLength) + features + 100);
  expect(given).toBeLessThan(features + 100);
  expect([traffic.put, traffic.held.size]).toEqual([zeros, held]);
  await trainer.dispose();
  expect([traffic.held.size, traffic.open]).toEqual([0, 0]);
});

test.each([vit, resnet])("ranks with devices learn together what one learns", async (config) => {
  const { runtime, traffic } = counted(withMemory(cpu));
  const microBatch = batchSize / 2;
  const alone = await Trainer.create(config, valuesOf(config), { ...adamw, microBatch }, cpu);
  const expected = await steps(alone, 3, config);
  await alone.dispose();
  const trainers = await Promise.all(
    fakeRanks(2).map((ranks) => Trainer.create(config, valuesOf(config), adamw, runtime, ranks)),
  );
  const [first, second] = microBatches(batchFor(config), microBatch);
  for (let i = 0; i < 3; i++) {
    const [before, fetched] = [traffic.runs.length, traffic.fetched];
    const reports = await Promise.all([first!, second!].map((share, rank) => trainers[rank]!.step(share, rate)));
    for (const { loss } of reports) expect(Math.abs(loss / expected.reports[i]!.loss! - 1)).toBeLessThan(1e-5);
    // The gradients travel, to the process and into the update; moments and parameters do not.
    const { length, learned } = trainers[0]!.layout;
    const gradients = 2 * 4 * learned;
    const both = 4 * batchFor(config).pixels.byteLength; // offered to both towers in both directions
    const statistics = 2 * 5 * 4 * (length - learned); // and to the update
    const fed = traffic.runs.slice(before).reduce((sum, run) => sum + run.fed, 0);
    expect(traffic.fetched - fetched).toBeLessThanOrEqual(gradients);
    if (i > 0) expect(fed).toBeLessThan(gradients + both + statistics + 10_000);
  }
  for (const trainer of trainers) {
    const state = await trainer.state();
    for (const kind of ["parameters", "first", "second"] as const) {
      expect(relativeDifference(state[kind], expected.state[kind]), kind).toBeLessThan(1e-5);
    }
    await trainer.dispose();
  }
  expect([traffic.held.size, traffic.open]).toEqual([0, 0]);
});

test("with 8-bit integers, steps go over arenas", async () => {
  const { runtime, traffic } = counted(withMemory(cpu));
  const trainer = await Trainer.create(vit, valuesOf(vit), { ...adamw, precision: "int8" }, runtime);
  expect(traffic.open).toBe(0);
  expect(trainer.gradients).toHaveLength(trainer.layout.learned);
  await trainer.dispose();
});
