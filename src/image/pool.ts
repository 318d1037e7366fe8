/**
 * @file Worker threads that turn picture files into crops beside the main thread. ONNX Runtime blocks that thread while a
 * model runs, so jobs go to the workers the moment they are given: the next batch is cropped during this one's run.
 */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { DiptychError } from "../errors.js";
import type { Augmentation } from "./crop.js";
import type { DecodeOptions } from "./decode.js";
import type { PreprocessConfig } from "./preprocess.js";
import type { JobMessage, ReplyMessage } from "./worker.js";

/** Decode a file (path or bytes, which are copied) and crop it as `cropPicture` or `augmentPicture` does. */
export type PictureJob = DecodeOptions & {
  readonly source: string | Uint8Array;
  readonly config: PreprocessConfig;
} & (
    | { readonly task: "crop" }
    /** `seed`: for `randomStream`, as (seed, epoch, index). */
    | ({ readonly task: "augment"; readonly seed: readonly number[] } & Augmentation)
  );

export interface PicturePool {
  /** The crop, RGB bytes `[height, width, 3]`. An error of one job leaves the others alone. */
  run(job: PictureJob): Promise<Uint8Array>;
  /** Ends the threads; jobs that are not done are rejected. */
  dispose(): Promise<void>;
}

interface Pending {
  readonly message: JobMessage;
  resolve(crop: Uint8Array): void;
  reject(error: Error): void;
}

/** A thread and what it was given and has not answered, oldest first. */
interface Thread {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

/** A pool of `workers` threads, by default one a core, which start with the first job. An idle pool does not keep the process alive. */
export function createPicturePool(workers: number = availableParallelism()): PicturePool {
  let nextId = 0;
  let disposed = false;
  const threads = new Set<Thread>();
  function startThread(): Thread {
    // A worker makes little garbage; a large young generation would only grow the process for thousands of pictures.
    const worker = new Worker(workerFile, { resourceLimits: { maxYoungGenerationSizeMb: 2 } });
    const pending = new Map<number, Pending>();
    const thread = { worker, pending };
    worker.unref();
    worker.on("message", (reply: ReplyMessage) => {
      const job = pending.get(reply.id);
      pending.delete(reply.id);
      if (pending.size === 0 && !disposed) worker.unref(); // the end of a thread must be waited for
      if ("crop" in reply) job?.resolve(reply.crop);
      else job?.reject("refused" in reply ? new DiptychError(...reply.refused) : reply.failed);
    });
    let cause: unknown;
    worker.on("error", (error) => {
      cause = error;
    });
    worker.on("exit", () => bury(thread, cause));
    return thread;
  }

  /** A thread that died takes the job that it was at with it; a new one takes over the rest. */
  function bury(dead: Thread, cause: unknown): void {
    threads.delete(dead);
    const [lost, ...rest] = dead.pending.values();
    if (disposed || lost === undefined) return;
    lost.reject(workerDied(lost.message.job, cause));
    for (const job of rest) hand(job);
  }

  /** To the thread with the least to do. A thread that died since is replaced here. */
  function hand(job: Pending): void {
    while (threads.size < workers) threads.add(startThread());
    const { worker, pending } = [...threads].reduce((a, b) => (b.pending.size < a.pending.size ? b : a));
    worker.postMessage(job.message);
    pending.set(job.message.id, job);
    worker.ref();
  }

  return {
    run: (job) =>
      new Promise((resolve, reject) => {
        if (disposed) throw new Error("The picture pool is disposed.");
        hand({ message: { id: nextId++, job }, resolve, reject });
      }),
    async dispose() {
      disposed = true;
      const unfinished = [...threads].flatMap(({ pending }) => [...pending.values()]);
      await Promise.all([...threads].map(({ worker }) => worker.terminate()));
      for (const { reject } of unfinished)
        reject(new Error("The picture pool was disposed before this picture was done."));
    },
  };
}

/** A worker of Node 20 reads no TypeScript: tests, which run the sources, start the one that was last built. */
const workerFile = new URL(
  import.meta.url.endsWith(".ts") ? "../../dist/image/worker.js" : "./worker.js",
  import.meta.url,
);

function workerDied({ name, source }: PictureJob, cause: unknown): DiptychError {
  const picture = name ?? (typeof source === "string" ? source : "a picture");
  return new DiptychError(
    "WorkerDied",
    `The thread that was reading ${picture} died (${cause instanceof Error ? cause.message : "no reason given"}).`,
    "Leave this picture out, or give the process more memory.",
    { cause },
  );
}
