/**
 * @file Towers whose parameters and gradients lie on a device. Between ranks gradients have to travel: where there are
 * several, a tower's come to the process when they are complete.
 */
import type { DeviceMemory, DeviceTensor, FloatTensor } from "../runtime/index.js";
import { arenaViews, type Layout, learnedSlots, partsOf } from "./arena.js";
import { towerFeeds } from "./batch.js";
import type { DeviceState } from "./deviceState.js";
import { averagesOf, gradientOf } from "./differentiate.js";
import type { Ranks } from "./ranks.js";
import type { Task } from "./stepper.js";
import { belongsTo, sofarOf, type Towers, towerPrograms } from "./towers.js";

export interface DeviceTowers extends Towers {
  /** The gradients of all that learns, by the names that programs have for them. */
  gradients(): Readonly<Record<string, FloatTensor | DeviceTensor>>;
}

/** One tensor serves all gradients of a shape. */
const zerosOf = (shape: readonly number[]): string => `zeros [${shape}]`;

export async function createDeviceTowers(
  task: Task,
  layout: Layout,
  state: DeviceState,
  memory: DeviceMemory,
  ranks: Ranks,
): Promise<DeviceTowers> {
  const { config } = task;
  const programs = towerPrograms(task, {
    encode: (outputs) => memory.compile(outputs, []),
    backward: (outputs) => memory.compile(outputs, Object.keys(outputs)),
  });
  const learned = learnedSlots(layout);
  const shapes = new Map(learned.map(({ shape, size }) => [zerosOf(shape), { shape, size }]));
  const zeros = await memory.put(
    new Map(Array.from(shapes, ([name, { shape, size }]) => [name, { data: new Float32Array(size), shape }])),
  );
  /** The step's gradients, as far as there are any. */
  const gradients = new Map<string, FloatTensor | DeviceTensor>();
  /** What ranks add up. */
  const arena = new Float32Array(ranks.size > 1 ? layout.learned : 0);
  const replace = async (name: string, by?: FloatTensor | DeviceTensor): Promise<void> => {
    const old = gradients.get(name);
    if (by) gradients.set(name, by);
    else gradients.delete(name);
    if (old && "release" in old) await old.release();
  };
  return {
    async begin(ofNoTower) {
      for (const name of [...gradients.keys()]) await replace(name);
      for (const { name, shape } of learned) {
        const slope = ofNoTower.get(name);
        if (slope !== undefined) await replace(name, { data: Float32Array.of(slope), shape });
      }
    },
    async encode(side, part, { data }) {
      const { encode } = await programs.of(side, part);
      const { results } = await encode.run({ ...state.feeds(), ...towerFeeds(config, part) });
      data.set(results.features!.data as Float32Array);
      return averagesOf(results);
    },
    async backward(side, part, upstream) {
      const { backward } = await programs.of(side, part);
      if (!backward) return;
      const sofar = learned
        .filter(({ name }) => belongsTo(side, name))
        .map(({ name, shape }) => [sofarOf(name), gradients.get(name) ?? zeros.get(zerosOf(shape))!]);
      const feeds = { ...state.feeds(), ...Object.fromEntries(sofar), ...towerFeeds(config, part), upstream };
      const { stayed } = await backward.run(feeds);
      for (const { name } of learned) {
        const tensor = stayed[gradientOf(name)];
        if (tensor) await replace(name, tensor);
      }
    },
    async sumOverRanks(side) {
      if (ranks.size === 1) return;
      const views = [...arenaViews(layout, arena)].filter(([name]) => belongsTo(side, name));
      const onDevice = new Map<string, DeviceTensor>();
      for (const [name, { data }] of views) {
        const gradient = gradients.get(name);
        if (gradient && "release" in gradient) onDevice.set(name, gradient);
        else data.set(gradient?.data ?? []);
      }
      await memory.fetch(onDevice, new Map(views));
      for (const [name, view] of views) await replace(name, view);
      for (const [from, to] of partsOf(layout, (name) => belongsTo(side, name))) {
        await ranks.sum(arena.subarray(from, to));
      }
    },
    gradients: () => Object.fromEntries(Array.from(gradients, ([name, tensor]) => [gradientOf(name), tensor])),
    async dispose() {
      for (const name of [...gradients.keys()]) await replace(name);
      for (const tensor of zeros.values()) await tensor.release();
      await programs.dispose();
    },
  };
}
