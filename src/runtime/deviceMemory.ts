/**
 * @file Tensors that stay on a device between runs, by ONNX Runtime's `preferredOutputLocation`: an output that stays may be
 * fed to any program on the device. The way back is a program that hands its inputs on as outputs for the process; read
 * directly (`getData` of onnxruntime-node 1.30) such a tensor ends the process.
 * onnxruntime-node knows one such place, WebGPU's buffers, and none of CUDA or DirectML.
 *
 * A session takes the memory of its tensors along when it is closed, and keeps what it was fed last until its next run. So
 * it is closed behind the last of its tensors, and a tensor counts as used while a program may keep it.
 */
import type * as Ort from "onnxruntime-common";
import { input, type Tensor } from "../graph/index.js";
import type { DeviceMemory, DeviceProgram, DeviceTensor, TensorData } from "./index.js";
import { fromOrt, type OrtModule, toOrt } from "./session.js";

/** A session, and what its runs are to be followed by. */
export interface WatchedSession {
  readonly session: Ort.InferenceSession;
  /** After a run. @throws DiptychError where not the device has computed */
  check(): void;
  close(): Promise<void>;
}

type Outputs = Readonly<Record<string, Tensor>>;
type Locations = Readonly<Record<string, "gpu-buffer">>;
type Feeds = Readonly<Record<string, TensorData | DeviceTensor>>;

/** @param open opens the session of a graph, whose outputs go to the process but for those that have another location */
export function createDeviceMemory(
  ort: OrtModule,
  open: (outputs: Outputs, locations?: Locations) => Promise<WatchedSession>,
): DeviceMemory {
  const compile = async (outputs: Outputs, stays: readonly string[]): Promise<DeviceProgram> => {
    const locations: Locations = Object.fromEntries(stays.map((name) => [name, "gpu-buffer"]));
    const watched = await open(outputs, stays.length > 0 ? locations : undefined);
    return openDeviceProgram(ort, watched, new Set(stays));
  };
  return {
    compile,
    async put(values) {
      const program = await compile(handedOn(values), [...values.keys()]);
      const { stayed } = await program.run(given(values)).finally(program.dispose);
      return new Map(Object.entries(stayed));
    },
    async fetch(tensors, into) {
      const { session, check, close } = await open(handedOn(tensors));
      const targets = Array.from(tensors.keys(), (name) => [name, toOrt(ort, into.get(name)!)]);
      try {
        await session.run(inputsOf(ort, session, given(tensors)), Object.fromEntries(targets));
        check();
      } finally {
        await close();
      }
    },
  };
}

/** A graph whose outputs are its inputs. */
const handedOn = (tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>): Outputs =>
  Object.fromEntries(Array.from(tensors, ([name, { shape }]) => [name, input(`given ${name}`, shape)]));

/** The feeds of `handedOn`. */
const given = <T>(tensors: ReadonlyMap<string, T>): Record<string, T> =>
  Object.fromEntries(Array.from(tensors, ([name, tensor]) => [`given ${name}`, tensor]));

function openDeviceProgram(ort: OrtModule, watched: WatchedSession, stays: ReadonlySet<string>): DeviceProgram {
  const { session, check } = watched;
  /** What it has made that is still used, and what others have made that it may keep. */
  const made = new Set<Held>();
  let kept: readonly Held[] = [];
  let ending = false;
  const endIfUnused = async (): Promise<void> => {
    if (ending && made.size === 0) await watched.close();
  };
  const hold = (tensor: Ort.Tensor): Held => {
    const held = new Held(tensor, async () => {
      made.delete(held);
      await endIfUnused();
    });
    made.add(held);
    return held;
  };
  return {
    async run(feeds) {
      const before = kept;
      const others = Object.values(feeds).flatMap((value) =>
        value instanceof Held && !made.has(value) ? [value] : [],
      );
      for (const tensor of others) tensor.use();
      kept = [...before, ...others];
      const found = Object.entries(await session.run(inputsOf(ort, session, feeds)));
      kept = others;
      for (const tensor of before) await tensor.drop();
      const stayed = Object.fromEntries(
        found.flatMap(([name, tensor]) => (stays.has(name) ? [[name, hold(tensor)]] : [])),
      );
      try {
        check();
      } catch (error) {
        for (const tensor of Object.values(stayed)) await tensor.release();
        throw error;
      }
      const results = found.flatMap(([name, tensor]) => (stays.has(name) ? [] : [[name, fromOrt(tensor)] as const]));
      return { results: Object.fromEntries(results), stayed };
    },
    async dispose() {
      ending = true;
      const before = kept;
      kept = [];
      for (const tensor of before) await tensor.drop(); // no run is to come
      await endIfUnused();
    },
  };
}

class Held implements DeviceTensor {
  private uses = 1;
  private released = false;

  constructor(
    readonly tensor: Ort.Tensor,
    private readonly whenUnused: () => Promise<void>,
  ) {
    if (tensor.location !== "gpu-buffer") throw new Error(`An output that should stay went to "${tensor.location}".`);
  }

  get shape(): readonly number[] {
    return this.tensor.dims;
  }

  async release(): Promise<void> {
    if (this.released) return;
    this.released = true;
    this.tensor.dispose();
    await this.drop();
  }

  use(): void {
    this.uses++;
  }

  async drop(): Promise<void> {
    if (--this.uses === 0) await this.whenUnused();
  }
}

function inputsOf(ort: OrtModule, session: Ort.InferenceSession, feeds: Feeds): Record<string, Ort.Tensor> {
  const declared = new Set(session.inputNames);
  const fed = Object.entries(feeds).filter(([name]) => declared.has(name));
  return Object.fromEntries(fed.map(([name, value]) => [name, tensorOf(ort, value)]));
}

function tensorOf(ort: OrtModule, value: TensorData | DeviceTensor): Ort.Tensor {
  if ("data" in value) return toOrt(ort, value);
  if (value instanceof Held) return value.tensor;
  throw new Error("A tensor in another device's memory.");
}
