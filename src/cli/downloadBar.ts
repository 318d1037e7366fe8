/** @file What a user sees while a model is downloaded: a bar for every large file, and notices. */
import type { HubOptions } from "../checkpoint/node.js";
import { notice } from "./output.js";
import { type Progress, progressBar } from "./progress.js";

const megabyte = 1e6;

export async function withDownloadBar<T>(
  load: (shown: Required<Pick<HubOptions, "onProgress" | "onNotice">>) => Promise<T>,
): Promise<T> {
  let current: { readonly file: string; readonly bar: Progress } | undefined;
  const stop = (): void => {
    current?.bar.stop();
    current = undefined;
  };
  const onProgress: HubOptions["onProgress"] = ({ file, done, total }) => {
    if (total < megabyte) return;
    if (current?.file !== file) {
      stop();
      current = { file, bar: progressBar(Math.ceil(total / megabyte), `MB of ${file}`) };
    }
    current.bar.update(Math.floor(done / megabyte));
  };
  // Without the stop a failed download's bar would keep the process alive.
  return load({ onProgress, onNotice: notice }).finally(stop);
}
