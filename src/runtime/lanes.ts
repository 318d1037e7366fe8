/**
 * @file A runtime for many runs at a time: every program is held by several worker threads ("lanes"), each with few threads
 * of its own. Lanes do not wait for each other, as the threads of one run do at the end of every operator, so no core is
 * idle while there is work; and the caller's thread, which a run of `nodeRuntime` blocks, stays free.
 * The price: each lane has its own copy of the constants, and one run alone uses only its lane's threads.
 */
import { Worker } from "node:worker_threads";
import { onnxModel, simplify } from "../graph/index.js";
import type { Program, Runtime, TensorData } from "./index.js";
import type { LaneAnswer, LaneMessage, LaneReply, LaneTask } from "./lane.js";

interface Pending {
  resolve(answer: LaneAnswer): void;
  reject(error: unknown): void;
}

/** One worker. */
interface Lane {
  ask(task: LaneTask, transfer?: ArrayBuffer[]): Promise<LaneAnswer>;
  end(): Promise<void>;
}

/** Programs whose runs go to the next lane that is free, in the order that they came; start one before awaiting another. */
export const laneRuntime = (lanes: number, threadsPerLane: number): Runtime => ({
  name: `cpu (${lanes} × ${threadsPerLane} threads)`,
  lanes,
  async compile(outputs, { constants } = {}) {
    let model = onnxModel(simplify(outputs), { form: "fast", ...(constants && { constants }) });
    const opened = Array.from({ length: lanes }, startLane);
    const program = laneProgram(opened);
    try {
      // One after another, so that the bytes are there once.
      for (const lane of opened) {
        const answer = await lane.ask({ model, threads: threadsPerLane }, [model.buffer]);
        model = answer.model!;
      }
      return program;
    } catch (error) {
      await program.dispose();
      throw error;
    }
  },
});

function laneProgram(lanes: readonly Lane[]): Program {
  const free = [...lanes];
  const queue: ((lane: Lane) => void)[] = [];
  return {
    async run(feeds, into = {}) {
      // Not to a lane that is busy, however little it has to do: another may be free before it.
      const lane = free.shift() ?? (await new Promise<Lane>((resolve) => queue.push(resolve)));
      try {
        const { results = {} } = await lane.ask({ feeds });
        for (const [name, target] of Object.entries(into)) bytesOf(target).set(bytesOf(results[name]!));
        return { ...results, ...into };
      } finally {
        const next = queue.shift();
        if (next) next(lane);
        else free.push(lane);
      }
    },
    async dispose() {
      await Promise.all(lanes.map((lane) => lane.end()));
    },
  };
}

const bytesOf = ({ data }: TensorData) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

function startLane(): Lane {
  const worker = new Worker(laneFile);
  const pending = new Map<number, Pending>();
  let nextId = 0;
  let ended: unknown;
  const send = (message: LaneMessage, transfer?: ArrayBuffer[]) => worker.postMessage(message, transfer);
  worker.unref(); // idle, it does not keep the process alive
  worker.on("message", ({ id, answer, failed }: LaneReply) => {
    const asked = pending.get(id);
    pending.delete(id);
    if (pending.size === 0) worker.unref();
    if (answer) asked?.resolve(answer);
    else asked?.reject(failed);
  });
  worker.on("error", (error) => {
    ended = error;
  });
  const exit = new Promise<void>((resolve) => {
    worker.on("exit", () => {
      ended ??= new Error("The program was disposed of.");
      for (const { reject } of pending.values()) reject(ended);
      resolve();
    });
  });
  return {
    ask: (task, transfer) =>
      new Promise((resolve, reject) => {
        if (ended) throw ended;
        const id = nextId++;
        send({ id, task }, transfer);
        pending.set(id, { resolve, reject });
        worker.ref();
      }),
    async end() {
      send("end");
      worker.ref();
      await exit;
    },
  };
}

/** A worker of Node 20 reads no TypeScript: tests, which run the sources, start the one that was last built. */
const laneFile = new URL(import.meta.url.endsWith(".ts") ? "../../dist/runtime/lane.js" : "./lane.js", import.meta.url);
