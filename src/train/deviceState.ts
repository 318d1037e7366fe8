/**
 * @file A state on a device, a tensor for each of its parts: an arena of a whole model would be larger than what WebGPU
 * binds. It crosses to the device with the first program that makes a new one of it, and back when somebody asks.
 */
import type { DeviceMemory, DeviceTensor, FloatTensor } from "../runtime/index.js";
import type { Layout } from "./arena.js";
import { emptyState, everything, type State } from "./state.js";

export interface DeviceState {
  /** All parts, by name. */
  feeds(): Readonly<Record<string, FloatTensor | DeviceTensor>>;
  /** New values, by name, wherever they are. */
  replace(parts: ReadonlyMap<string, DeviceTensor | Float32Array>): Promise<void>;
  /** As it is now, in the process's memory; good until the next `replace`. */
  fetch(): Promise<State>;
  dispose(): Promise<void>;
}

/**
 * @param start what it begins with; not written to
 * @param replaced the parts that programs on the device make anew: these wait for the first; the others go there now
 */
export async function createDeviceState(
  layout: Layout,
  start: State,
  memory: DeviceMemory,
  replaced: ReadonlySet<string>,
): Promise<DeviceState> {
  const parts = new Map<string, FloatTensor | DeviceTensor>(everything(layout, start));
  const stays = new Map([...everything(layout, start)].filter(([name]) => !replaced.has(name)));
  if (stays.size > 0) for (const [name, tensor] of await memory.put(stays)) parts.set(name, tensor);
  const onDevice = (): Map<string, DeviceTensor> =>
    new Map(Array.from(parts).flatMap(([name, part]) => ("release" in part ? [[name, part]] : [])));

  const fetch = async (): Promise<State> => {
    const state = emptyState(layout, start.average !== null);
    const into = everything(layout, state);
    for (const [name, part] of parts) if ("data" in part) into.get(name)!.data.set(part.data);
    await memory.fetch(onDevice(), into);
    return state;
  };
  /** Nothing where nobody has asked since the last change. */
  let copy: Promise<State> | null = Promise.resolve(start);
  return {
    feeds: () => Object.fromEntries(parts),
    async replace(made) {
      copy = null;
      for (const [name, part] of made) {
        const old = parts.get(name)!;
        parts.set(name, part instanceof Float32Array ? { data: part, shape: old.shape } : part);
        if ("release" in old) await old.release();
      }
    },
    fetch() {
      copy ??= fetch();
      return copy;
    },
    async dispose() {
      for (const tensor of onDevice().values()) await tensor.release();
    },
  };
}
