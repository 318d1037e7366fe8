/**
 * @file Run as a process of its own, so that nothing else is in its memory: does one thing many times and prints the
 * resident size in bytes after 50 times and at the end. Arguments: `train` or `embed`, and an empty folder; `--expose-gc`
 * and `--max-semi-space-size=1` for Node.
 *
 * What has been collected but not given back counts as resident, and new objects' space is touched bit by bit as far as
 * V8 lets it grow: so that space is small, rubbish is collected before each measurement, and of some sizes the least
 * counts. What leaks stays through all that.
 */
import path from "node:path";
import { saveCheckpoint } from "../../src/checkpoint/node.js";
import { createPicturePool } from "../../src/image/node.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { loadClip } from "../../src/tasks/node.js";
import { train } from "../../src/train/index.js";
import { tinyCheckpoint } from "../tasks/tiny.js";
import { pictures, recipe, writePairs } from "./pairs.js";

const [task, folder] = process.argv.slice(2) as ["train" | "embed", string];
const { gc } = globalThis;
if (!gc) throw new Error("needs --expose-gc");
/** Times of which the least size counts. */
const some = 10;
let early = Number.POSITIVE_INFINITY;
let late = Number.POSITIVE_INFINITY;
/** @param times how often the thing will be done */
const after = (done: number, times: number) => {
  const [isEarly, isLate] = [done > 50 - some && done <= 50, done > times - some];
  if (!isEarly && !isLate) return;
  gc();
  const size = process.memoryUsage.rss();
  if (isEarly) early = Math.min(early, size);
  else late = Math.min(late, size);
};

// Pictures of an ordinary size: after 50 thumbnails the garbage collector has not yet had to do anything.
await writePairs(folder, [], 10);
if (task === "train") {
  const pool = createPicturePool(2);
  await train(recipe({ epochs: 500 }), {
    out: path.join(folder, "run"),
    base: folder,
    runtime: nodeRuntime(),
    pool,
    observers: [() => ({ onStep: ({ step, steps }) => after(step + 1, steps) })],
  });
  await pool.dispose();
} else {
  await saveCheckpoint(path.join(folder, "model"), tinyCheckpoint());
  const clip = await loadClip(path.join(folder, "model"));
  const files = pictures.map((file) => path.join(folder, file));
  const times = 2000;
  for (let done = 1; done <= times; done++) {
    await clip.embedImages(files.slice(0, 1 + (done % files.length)));
    after(done, times);
  }
  await clip.dispose();
}
console.log(JSON.stringify({ early, late }));
