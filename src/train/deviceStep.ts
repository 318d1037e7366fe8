/**
 * @file A step on a device whose memory can hold the state between runs: one program for the loss, its gradients and their
 * norm, clipping, AdamW, the logit scale's range and the running averages. A batch goes in; what it says comes out, and the
 * state stays, a tensor for each of its parts: an arena of a whole model would be larger than what WebGPU binds.
 * Leaves out: micro-batches, ranks and 8-bit integers, whose steps go over arenas (`arenaStep.ts`).
 */
import { input, type Tensor } from "../graph/index.js";
import type { DeviceMemory, DeviceTensor, FloatTensor, TensorData } from "../runtime/index.js";
import { type Layout, learnedParts } from "./arena.js";
import { after } from "./differentiate.js";
import { averaged, emaScalars } from "./ema.js";
import { batchFeeds, batchGraph, batchReport } from "./fused.js";
import { layerRates } from "./layerDecay.js";
import { clampedScaleOf, isClamped } from "./logitScale.js";
import { emptyState, everything, prefixes, type State } from "./state.js";
import type { Stepper, Task, TrainerOptions } from "./stepper.js";
import { clipFactorOf, normOf, scalarsAt, update } from "./update.js";

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
  memory: DeviceMemory,
): Promise<Stepper> {
  const learned = learnedParts(layout, layerRates(task.config, options.layerDecay ?? 1));
  const outputs = stepGraph(task, learned, options);
  const replaced = Object.keys(outputs).filter((name) => name.startsWith(after));
  const program = await memory.compile(outputs, replaced);

  // What steps replace crosses with the first of them; what they leave as it is, now.
  const parts = new Map<string, FloatTensor | DeviceTensor>(everything(layout, start));
  const fixed = new Map([...everything(layout, start)].filter(([name]) => !replaced.includes(after + name)));
  if (fixed.size > 0) for (const [name, tensor] of await memory.put(fixed)) parts.set(name, tensor);
  const onDevice = (): Map<string, DeviceTensor> =>
    new Map(Array.from(parts).flatMap(([name, part]) => ("release" in part ? [[name, part]] : [])));

  const averages = options.ema !== undefined;
  const fetch = async (): Promise<State> => {
    const state = emptyState(layout, averages);
    await memory.fetch(onDevice(), everything(layout, state));
    return state;
  };
  let steps = done;
  /** As it is now, in the process's memory; nothing where nobody has asked since the last step. */
  let copy: Promise<State> | null = Promise.resolve(start);
  const shares = new Set(learned.map(({ rate }) => rate));
  return {
    get steps() {
      return steps;
    },
    gradients: null,
    async step(batch, learningRate) {
      const scalars = stepScalars(options, shares, steps + 1, learningRate);
      const { results, stayed } = await program.run({
        ...Object.fromEntries(parts),
        ...batchFeeds(task, batch),
        ...scalars,
      });
      steps++;
      copy = null;
      const old = onDevice();
      for (const [output, tensor] of Object.entries(stayed)) {
        const name = output.slice(after.length);
        parts.set(name, tensor);
        await old.get(name)?.release();
      }
      return {
        ...batchReport(results, batch),
        gradientNorm: Number(results.gradientNorm!.data[0]),
        logitScale: Math.exp(Number(results.logitScale!.data[0])),
      };
    },
    state() {
      copy ??= fetch();
      return copy;
    },
    async dispose() {
      for (const tensor of onDevice().values()) await tensor.release();
      await program.dispose();
    },
  };
}

/** Outputs: what a batch says, and for each part of the state that a step changes its value after it. */
function stepGraph(
  task: Task,
  learned: ReturnType<typeof learnedParts>,
  options: TrainerOptions,
): Record<string, Tensor> {
  const { outputs, stored, gradients } = batchGraph(task, options.batchSize);
  const scalar = (name: string) => input(name, []);
  const gradientNorm = normOf([...gradients.values()]);
  const shared = { clip: clipFactorOf(gradientNorm, options.clipNorm), secondCorrection: scalar("second correction") };
  const next: Record<string, Tensor> = {};
  for (const { name, decays, rate } of learned) {
    const parameters = stored.get(name)!;
    const beside = (kind: keyof typeof prefixes) => input(prefixes[kind] + name, parameters.shape);
    const updated = update(
      { parameters, first: beside("first"), second: beside("second") },
      gradients.get(name)!,
      { ...shared, rate: scalar(`rate ${rate}`), keep: decays ? scalar(`keep ${rate}`) : 1 },
      options,
    );
    const isScale = name === "logit_scale" && isClamped(task.config, options);
    const value = isScale ? clampedScaleOf(updated.parameters) : updated.parameters;
    next[name] = value;
    next[prefixes.first + name] = updated.first;
    next[prefixes.second + name] = updated.second;
    if (options.ema === undefined) continue;
    next[prefixes.average + name] = averaged(beside("average"), value, {
      kept: scalar("kept"),
      taken: scalar("taken"),
    });
  }
  return {
    ...outputs,
    gradientNorm,
    logitScale: next.logit_scale ?? stored.get("logit_scale")!,
    ...Object.fromEntries(Object.entries(next).map(([name, value]) => [after + name, value])),
  };
}

/** The scalar inputs of `stepGraph` at update `count`. @param shares of the learning rate that there are */
function stepScalars(
  options: TrainerOptions,
  shares: ReadonlySet<number>,
  count: number,
  learningRate: number,
): Record<string, TensorData> {
  const { secondCorrection, rate, keep } = scalarsAt(options, count, learningRate);
  const values = {
    "second correction": secondCorrection,
    ...Object.fromEntries(
      [...shares].flatMap((share) => [
        [`rate ${share}`, rate(share)],
        [`keep ${share}`, keep(share)],
      ]),
    ),
    ...(options.ema !== undefined && emaScalars(options.ema, count)),
  };
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, { data: Float32Array.of(value), shape: [] }]),
  );
}
