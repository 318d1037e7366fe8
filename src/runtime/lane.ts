/** @file A worker thread of `lanes.ts`: opens one program, then runs it again and again. */
import { parentPort } from "node:worker_threads";
import type { Program, TensorData } from "./index.js";
import { openNodeProgram } from "./node.js";

/** The bytes of an ONNX model, which go back: the next lane reads them too. Or a run. */
export type LaneTask =
  | { readonly model: Uint8Array<ArrayBuffer>; readonly threads: number }
  | { readonly feeds: Readonly<Record<string, TensorData>> };

export type LaneMessage = { readonly id: number; readonly task: LaneTask } | "end";

export interface LaneAnswer {
  readonly model?: Uint8Array<ArrayBuffer>;
  readonly results?: Record<string, TensorData>;
}

export interface LaneReply {
  readonly id: number;
  readonly answer?: LaneAnswer;
  readonly failed?: unknown;
}

let program: Program | undefined;

async function perform(task: LaneTask): Promise<LaneAnswer> {
  if ("feeds" in task) return { results: await program!.run(task.feeds) };
  program = await openNodeProgram(task.model, task.threads);
  return { model: task.model };
}

const send = (reply: LaneReply, transfer: ArrayBuffer[] = []) => parentPort?.postMessage(reply, transfer);

parentPort?.on("message", async (message: LaneMessage) => {
  if (message === "end") {
    parentPort?.close();
    await program?.dispose();
    return;
  }
  const { id, task } = message;
  await perform(task).then(
    (answer) => send({ id, answer }, answer.model ? [answer.model.buffer] : []),
    (failed: unknown) => send({ id, failed }),
  );
});
