/**
 * @file Run as a process of its own, which software Vulkan's variables are set for: trains the tiny model for a few steps
 * on the CPU, on WebGPU, and on WebGPU in two parts, and small ones with what a run leaves out; prints what differs, what was
 * left to the CPU and what crossed the bus. Argument: an empty folder.
 */
import path from "node:path";
import { loadCheckpoint, loadTraining, newestCheckpoint } from "../../src/checkpoint/node.js";
import { type ClipConfig, initialise } from "../../src/clip/index.js";
import { randomStream } from "../../src/image/index.js";
import { createPicturePool } from "../../src/image/node.js";
import type { Runtime } from "../../src/runtime/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { type State, Trainer, type TrainerOptions, type TrainOptions, train } from "../../src/train/index.js";
import { relativeDifference } from "../clip/goldenModel.js";
import { counted } from "./deviceMemory.js";
import { recipe, writePairs } from "./pairs.js";
import { batchFor, batchSize, resnet, vit } from "./smallModels.js";

/** What `webgpu.test.ts` reads. */
export interface Found {
  readonly losses: { readonly cpu: number[]; readonly webgpu: number[]; readonly resumed: number[] };
  /** Largest relative difference of a tensor of the WebGPU run's checkpoint from the CPU run's, and from the resumed one's. */
  readonly away: { readonly cpu: Worst; readonly resumed: Worst };
  /** Of what a run leaves out, from the CPU: frozen layers, averages, batch normalisation, micro-batches. */
  readonly others: Readonly<Record<string, number>>;
  readonly left: string[];
  /** Bytes of each step, and of the state. */
  readonly runs: readonly { readonly fed: number; readonly given: number }[];
  readonly stateBytes: number;
  /** What is still on the device behind everything. */
  readonly held: number;
}
interface Worst {
  readonly name: string;
  readonly difference: number;
}

const folder = process.argv[2]!;
await writePairs(folder);
const left = new Set<string>();
const onCpuFallback = (operators: readonly string[]) => {
  for (const operator of operators) left.add(operator);
};
const cpu = nodeRuntime();
const { runtime: webgpu, traffic } = counted(nodeRuntime({ device: "webgpu", onCpuFallback }));

async function run(name: string, runtime: Runtime, options: Partial<TrainOptions> = {}): Promise<number[]> {
  const pool = createPicturePool(1);
  const losses: number[] = [];
  const observer = () => ({ onStep: ({ loss }: { loss: number }) => losses.push(loss) });
  const out = path.join(folder, name);
  const observers = [observer, ...(options.observers ?? [])];
  await train(recipe({ epochs: 3 }), { out, base: folder, runtime, pool, ...options, observers });
  await pool.dispose();
  return losses;
}

/** Every tensor of a run's newest checkpoint. */
async function tensorsOf(name: string): Promise<Map<string, Float32Array>> {
  const newest = await newestCheckpoint(path.join(folder, name));
  const { parameters } = await loadCheckpoint(newest);
  const { tensors } = (await loadTraining(newest))!;
  return new Map([
    ...[...parameters].map(([key, { data }]) => [key, data] as const),
    ...tensors.map((t) => [t.name, t.data] as const),
  ]);
}

function worst(actual: ReadonlyMap<string, Float32Array>, expected: ReadonlyMap<string, Float32Array>): Worst {
  const all = Array.from(expected, ([name, data]) => ({
    name,
    difference: relativeDifference(actual.get(name)!, data),
  }));
  return all.reduce((a, b) => (b.difference > a.difference ? b : a));
}

const losses = { cpu: await run("cpu", cpu), webgpu: await run("webgpu", webgpu), resumed: [] as number[] };
const runs = [...traffic.runs];
const stop = new AbortController();
const stopAtFirst = () => ({ onStep: () => stop.abort() });
const first = await run("parts", webgpu, { signal: stop.signal, observers: [stopAtFirst] });
losses.resumed.push(...first, ...(await run("parts", webgpu, { resume: true })));
const whole = await tensorsOf("webgpu");
const away = { cpu: worst(whole, await tensorsOf("cpu")), resumed: worst(await tensorsOf("parts"), whole) };

/** The state after a few steps on a small model. */
async function stateOf(config: ClipConfig, runtime: Runtime, options: Partial<TrainerOptions>): Promise<State> {
  const adamw = { beta1: 0.9, beta2: 0.98, epsilon: 1e-6, weightDecay: 0.2, clipNorm: 0.5, batchSize };
  const values = initialise(config, randomStream([1]));
  const trainer = await Trainer.create(config, values, { ...adamw, ...options }, runtime);
  for (let step = 0; step < 3; step++) await trainer.step(batchFor(config), 1e-3);
  const state = await trainer.state();
  await trainer.dispose();
  return state;
}
const small: readonly [string, ClipConfig, Partial<TrainerOptions>][] = [
  ["locked ViT", vit, { lock: { image: true }, ema: 0.6, layerDecay: 0.7 }],
  ["ResNet", resnet, {}],
  ["ViT in micro-batches", vit, { microBatch: 3, ema: 0.6 }],
  ["ResNet in micro-batches", resnet, { microBatch: 4 }],
];
const others: Record<string, number> = {};
for (const [name, config, options] of small) {
  const [expected, actual] = [await stateOf(config, cpu, options), await stateOf(config, webgpu, options)];
  for (const kind of ["parameters", "first", "second", "average"] as const) {
    const [there, here] = [actual[kind], expected[kind]];
    if (there && here) others[`${name}: ${kind}`] = relativeDifference(there, here);
  }
}

const stateBytes = [...whole.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
const found: Found = { losses, away, others, left: [...left], runs, stateBytes, held: traffic.held.size };
console.log(JSON.stringify(found));
