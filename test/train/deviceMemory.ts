/** @file Device memory in tests: one that is no device, and a count of what crosses the bus to any. */
import type { DeviceMemory, DeviceTensor, FloatTensor, Runtime, TensorData } from "../../src/runtime/index.js";

/** A tensor of `withMemory`. */
class Lying implements DeviceTensor {
  constructor(private readonly value: TensorData) {}

  get shape(): readonly number[] {
    return this.value.shape;
  }

  /** @throws where it was released */
  read(): TensorData {
    if (this.released) throw new Error("used after its release");
    return this.value;
  }

  private released = false;

  async release(): Promise<void> {
    this.released = true;
  }
}

/** `runtime` as if its memory were another's: what stays is an array that only its programs read. */
export function withMemory(runtime: Runtime): Runtime {
  const read = (value: TensorData | DeviceTensor): TensorData => {
    if (value instanceof Lying) return value.read();
    if ("data" in value) return value;
    throw new Error("another device's");
  };
  const copy = ({ data, shape }: TensorData): TensorData => ({ data: data.slice(), shape });
  const memory: DeviceMemory = {
    async compile(outputs, stays) {
      const program = await runtime.compile(outputs);
      return {
        async run(feeds) {
          const values = Object.entries(feeds).map(([name, value]) => [name, read(value)]);
          const found = Object.entries(await program.run(Object.fromEntries(values)));
          const [staying, coming] = [true, false].map((stay) =>
            found.filter(([name]) => stays.includes(name) === stay),
          );
          return {
            results: Object.fromEntries(coming!),
            stayed: Object.fromEntries(staying!.map(([name, value]) => [name, new Lying(value)])),
          };
        },
        dispose: () => program.dispose(),
      };
    },
    put: async (values) => new Map(Array.from(values, ([name, value]) => [name, new Lying(copy(value))])),
    async fetch(tensors, into) {
      for (const [name, tensor] of tensors) into.get(name)!.data.set(read(tensor).data as Float32Array);
    },
  };
  return { ...runtime, memory };
}

export interface Traffic {
  /** Bytes of arrays that each run of a device's program was given, and gave. */
  readonly runs: { readonly fed: number; readonly given: number }[];
  /** Bytes copied to and from the device apart from runs. */
  put: number;
  fetched: number;
  /** Tensors on the device that nobody has released. */
  readonly held: Set<DeviceTensor>;
  /** Programs of a device that are open. */
  open: number;
}

/** `runtime`, and what crosses to and from its memory. */
export function counted(runtime: Runtime): { readonly runtime: Runtime; readonly traffic: Traffic } {
  const memory = runtime.memory!;
  const traffic: Traffic = { runs: [], put: 0, fetched: 0, held: new Set(), open: 0 };
  const bytesOf = (values: Iterable<TensorData | DeviceTensor>): number =>
    [...values].reduce((sum, value) => sum + ("data" in value ? value.data.byteLength : 0), 0);
  const hold = (tensor: DeviceTensor): void => {
    const release = tensor.release.bind(tensor);
    traffic.held.add(tensor);
    tensor.release = () => {
      traffic.held.delete(tensor);
      return release();
    };
  };
  const watched: DeviceMemory = {
    async compile(outputs, stays) {
      const program = await memory.compile(outputs, stays);
      traffic.open++;
      return {
        async run(feeds) {
          const made = await program.run(feeds);
          traffic.runs.push({ fed: bytesOf(Object.values(feeds)), given: bytesOf(Object.values(made.results)) });
          for (const tensor of Object.values(made.stayed)) hold(tensor);
          return made;
        },
        async dispose() {
          traffic.open--;
          await program.dispose();
        },
      };
    },
    async put(values: ReadonlyMap<string, FloatTensor>) {
      const made = await memory.put(values);
      traffic.put += bytesOf(values.values());
      for (const tensor of made.values()) hold(tensor);
      return made;
    },
    async fetch(tensors, into) {
      await memory.fetch(tensors, into);
      traffic.fetched += bytesOf(Array.from(tensors.keys(), (name) => into.get(name)!));
    },
  };
  return { runtime: { ...runtime, memory: watched }, traffic };
}
