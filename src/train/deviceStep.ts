/**
 * @file A step on a device whose memory can hold the state between runs: a batch goes in, what it says comes out. Where the
 * batch fits and there is one process, the step is one program: loss, gradients, their norm, clipping, AdamW, the logit
 * scale's range and the running averages. Else gradients add up on the device, and one program makes the update.
 * Leaves out: 8-bit integers, which are the CPU's.
 */
import { input, type Tensor } from "../graph/index.js";
import type { DeviceMemory, DeviceTensor, TensorData } from "../runtime/index.js";
import { arenaViews, type Layout, learnedParts, learnedSlots } from "./arena.js";
import type { TrainingBatch } from "./batch.js";
import { createCached } from "./cached.js";
import { createContrast } from "./contrast.js";
import { createDeviceState, type DeviceState } from "./deviceState.js";
import { createDeviceTowers } from "./deviceTowers.js";
import { updateGraph, updateScalars } from "./deviceUpdate.js";
import { after, type BatchReport, gradientOf } from "./differentiate.js";
import { batchFeeds, batchGraph, batchReport } from "./fused.js";
import { layerRates } from "./layerDecay.js";
import type { State } from "./state.js";
import { isWhole, type Stepper, type Surroundings, type Task, type TrainerOptions } from "./stepper.js";

type Results = Readonly<Record<string, TensorData>>;

/** What a batch brings to the program of the step. */
interface Source {
  take(batch: TrainingBatch): Promise<{
    readonly feeds: Readonly<Record<string, TensorData | DeviceTensor>>;
    /** What the batch says, from the program's results. */
    report(results: Results): BatchReport;
  }>;
  dispose(): Promise<void>;
}

/**
 * @param start the state that the first step takes to the device; not written to
 * @param done updates that it has behind it
 */
export async function createDeviceStepper(
  task: Task,
  layout: Layout,
  start: State,
  done: number,
  options: TrainerOptions,
  surroundings: Surroundings,
  memory: DeviceMemory,
): Promise<Stepper> {
  const learned = learnedParts(layout, layerRates(task.config, options.layerDecay ?? 1));
  const whole = isWhole(surroundings);
  const { outputs, stored, gradients } = whole ? batchGraph(task, options.batchSize) : givenGradients(layout);
  const { next, gradientNorm } = updateGraph(task, learned, stored, gradients, options);
  const results: Record<string, Tensor> = { ...outputs, gradientNorm };
  const scalarNames = ["logit_scale", "logit_bias"].filter((name) => stored.has(name));
  for (const name of scalarNames) results[`value of ${name}`] = next.get(name) ?? stored.get(name)!;
  for (const [name, value] of next) results[after + name] = value;
  const staying = Object.keys(results).filter((name) => name.startsWith(after));
  const program = await memory.compile(results, staying);
  const replaced = new Set(staying.map((name) => name.slice(after.length)));
  const state = await createDeviceState(layout, start, memory, replaced);

  /** The logit scale and bias, in the process as well. */
  const scalars = new Map(
    [...arenaViews(layout, start.parameters)]
      .filter(([name]) => scalarNames.includes(name))
      .map(([name, { data, shape }]) => [name, { data: data.slice(), shape }]),
  );
  const source = whole ? wholeBatches(task) : await inMicroBatches(task, layout, state, scalars, surroundings, memory);
  const shares = new Set(learned.map(({ rate }) => rate));
  let steps = done;
  return {
    get steps() {
      return steps;
    },
    gradients: null,
    async step(batch, learningRate) {
      const { feeds, report } = await source.take(batch);
      const rates = updateScalars(options, shares, steps + 1, learningRate);
      const { results, stayed } = await program.run({ ...state.feeds(), ...feeds, ...rates });
      steps++;
      await state.replace(new Map(Object.entries(stayed).map(([name, tensor]) => [name.slice(after.length), tensor])));
      for (const [name, { data }] of scalars) data[0] = Number(results[`value of ${name}`]!.data[0]);
      return {
        ...report(results),
        gradientNorm: Number(results.gradientNorm!.data[0]),
        logitScale: Math.exp(scalars.get("logit_scale")!.data[0]!),
      };
    },
    state: () => state.fetch(),
    async dispose() {
      await source.dispose();
      await state.dispose();
      await program.dispose();
    },
  };
}

/** Parameters, and gradients that others have worked out. */
function givenGradients(layout: Layout) {
  const stored = new Map(layout.slots.map(({ name, shape }) => [name, input(name, shape)]));
  const gradients = new Map(learnedSlots(layout).map(({ name, shape }) => [name, input(gradientOf(name), shape)]));
  return { outputs: {}, stored, gradients };
}

const wholeBatches = (task: Task): Source => ({
  take: async (batch) => ({
    feeds: batchFeeds(task, batch),
    report: (results) => batchReport(results, batch),
  }),
  dispose: async () => {},
});

async function inMicroBatches(
  task: Task,
  layout: Layout,
  state: DeviceState,
  scalars: ReadonlyMap<string, TensorData>,
  { runtime, ranks, microBatch }: Surroundings,
  memory: DeviceMemory,
): Promise<Source> {
  const towers = await createDeviceTowers(task, layout, state, memory, ranks);
  const contrast = await createContrast(task, scalars, runtime, ranks);
  const cached = createCached(task, microBatch, towers, contrast, ranks);
  return {
    async take(batch) {
      const { statistics, ...report } = await cached.differentiate(batch);
      await state.replace(statistics);
      return { feeds: towers.gradients(), report: () => report };
    },
    dispose: () => cached.dispose(),
  };
}
