/**
 * @file A worker thread of the picture pool: decodes and crops, one job after the other in the order that they came.
 * One at a time, since a thread of the decoder works meanwhile: as many workers as cores keep every core busy.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { parentPort } from "node:worker_threads";
import { DiptychError } from "../errors.js";
import { augmentPicture, cropPicture } from "./crop.js";
import { decodePicture } from "./decode.js";
import type { PictureJob } from "./pool.js";
import { randomStream } from "./random.js";

export interface JobMessage {
  readonly id: number;
  readonly job: PictureJob;
}

export type ReplyMessage =
  | { readonly id: number; readonly crop: Uint8Array }
  | { readonly id: number; readonly refused: readonly [code: string, problem: string, remedy: string] }
  | { readonly id: number; readonly failed: Error };

async function perform(job: PictureJob): Promise<Uint8Array> {
  const picture = await decodePicture(job.source, job);
  return job.task === "crop"
    ? cropPicture(picture, job.config)
    : augmentPicture(picture, job.config, job, randomStream(job.seed));
}

/**
 * V8's own, which only contexts made under this flag can see. The flag stays: it is the process's, and another worker that
 * starts at this moment is about to look for it too.
 */
setFlagsFromString("--expose-gc");
const collectGarbage: (options: { type: "minor" }) => void = runInNewContext("gc");

let last = Promise.resolve();

parentPort?.on("message", ({ id, job }: JobMessage) => {
  const reply = (message: ReplyMessage, transfer: ArrayBuffer[] = []): void =>
    parentPort?.postMessage(message, transfer);
  last = last.then(async () => {
    try {
      const crop = await perform(job);
      reply({ id, crop }, crop.buffer instanceof ArrayBuffer ? [crop.buffer] : []);
    } catch (error) {
      if (error instanceof DiptychError) reply({ id, refused: [error.code, error.problem, error.remedy] });
      else reply({ id, failed: error instanceof Error ? error : new Error(String(error)) });
    }
    // The samples lie outside V8's heap. With so little garbage inside it, V8 would keep them until there are 64 MB of them,
    // and then walk through all that lives: a third of this thread's time.
    collectGarbage({ type: "minor" });
  });
});
