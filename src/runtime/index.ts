/**
 * @file What a runtime is: it compiles tensors into a program and runs it. `node.ts` and `web.ts` are the two there are.
 * No platform is bound here, so that rooms that run programs need not know which runtime they were given.
 */
import type { Tensor } from "../graph/index.js";

export { type Device, deviceNames } from "./devices.js";
export { integerRuntime, largestExactWeight, type Precision, withPrecision } from "./precision.js";

/** A dense array and its shape; the array's type is the dtype: float32, int32, int64 or uint8. */
export interface TensorData {
  readonly data: Float32Array | Int32Array | BigInt64Array | Uint8Array;
  readonly shape: readonly number[];
}

export interface FloatTensor extends TensorData {
  readonly data: Float32Array;
}

/** A compiled graph, held open until `dispose`. */
export interface Program {
  /**
   * Runs once. `feeds` names every input of the graph. An entry of `outputs` is written in place (its array may be a
   * view of an arena); an output without one gets fresh memory.
   */
  run(
    feeds: Readonly<Record<string, TensorData>>,
    outputs?: Readonly<Record<string, TensorData>>,
  ): Promise<Record<string, TensorData>>;
  dispose(): Promise<void>;
}

export interface CompileOptions {
  /** Inputs that never change (the weights, at inference): bound into the program, so that the kernels may pre-pack them. */
  readonly constants?: ReadonlyMap<string, TensorData>;
  /**
   * Memory for what lies between inputs and outputs is given back after every run, for programs so large that what they
   * hold for the next run would be missed. Kept unless given: that is faster.
   */
  readonly givesBack?: boolean;
}

/** A tensor in a device's memory. Programs of the same runtime take it; nothing else reads it, and nothing frees it but `release`. */
export interface DeviceTensor {
  readonly shape: readonly number[];
  /** Gives its memory back: it is fed to no program from then on. Twice is as good as once. */
  release(): Promise<void>;
}

/** A compiled graph some of whose outputs stay on the device, held open until `dispose`. */
export interface DeviceProgram {
  /** Runs once. `feeds` names every input of the graph; what stays is the caller's to release. */
  run(feeds: Readonly<Record<string, TensorData | DeviceTensor>>): Promise<{
    readonly results: Readonly<Record<string, TensorData>>;
    readonly stayed: Readonly<Record<string, DeviceTensor>>;
  }>;
  dispose(): Promise<void>;
}

/** A device's memory as a place where tensors lie between runs, so that they need not cross the bus with every run. */
export interface DeviceMemory {
  /** Compiles a graph; the keys of `outputs` name its outputs. @param stays those that stay on the device */
  compile(outputs: Readonly<Record<string, Tensor>>, stays: readonly string[]): Promise<DeviceProgram>;
  /** Copies arrays to the device. */
  put(values: ReadonlyMap<string, FloatTensor>): Promise<Map<string, DeviceTensor>>;
  /** Copies tensors of float32 back, each into the array of its name. */
  fetch(tensors: ReadonlyMap<string, DeviceTensor>, into: ReadonlyMap<string, FloatTensor>): Promise<void>;
}

export interface Runtime {
  /** What executes, in words: "cpu (onnxruntime-node 1.30, 2 threads)". */
  readonly name: string;
  /** How many runs of a program it works on at the same time; 1 unless given. */
  readonly lanes?: number;
  /** Where it has a memory of its own that programs can leave their outputs in. */
  readonly memory?: DeviceMemory;
  /** Compiles a graph; the keys of `outputs` name its outputs. */
  compile(outputs: Readonly<Record<string, Tensor>>, options?: CompileOptions): Promise<Program>;
}
