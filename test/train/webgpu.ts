/**
 * @file Run as a process of its own, which software Vulkan's variables are set for: trains the tiny model for a few steps
 * on the CPU and on WebGPU; prints the losses of both and what was left to the CPU. Argument: an empty folder.
 */
import path from "node:path";
import { createPicturePool } from "../../src/image/node.js";
import { type NodeRuntimeOptions, nodeRuntime } from "../../src/runtime/node.js";
import { train } from "../../src/train/index.js";
import { recipe, writePairs } from "./pairs.js";

const folder = process.argv[2]!;
await writePairs(folder);

async function losses(name: string, options: NodeRuntimeOptions): Promise<number[]> {
  const pool = createPicturePool(1);
  const found: number[] = [];
  await train(recipe({ epochs: 3 }), {
    out: path.join(folder, name),
    base: folder,
    runtime: nodeRuntime(options),
    pool,
    observers: [() => ({ onStep: ({ loss }) => found.push(loss) })],
  });
  await pool.dispose();
  return found;
}

const left = new Set<string>();
const cpu = await losses("cpu", {});
const webgpu = await losses("webgpu", {
  device: "webgpu",
  onCpuFallback: (operators) => {
    for (const operator of operators) left.add(operator);
  },
});
console.log(JSON.stringify({ cpu, webgpu, left: [...left] }));
