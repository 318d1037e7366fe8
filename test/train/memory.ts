/**
 * @file Run as a process of its own, so that nothing else is in its memory: does one thing many times and prints the
 * resident size in bytes after 50 times and at the end. Arguments: `train` or `embed`, and an empty folder.
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
let early = 0;
let late = 0;
const after = (done: number) => {
  late = process.memoryUsage.rss();
  if (done === 50) early = late;
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
    observers: [() => ({ onStep: ({ step }) => after(step + 1) })],
  });
  await pool.dispose();
} else {
  await saveCheckpoint(path.join(folder, "model"), tinyCheckpoint());
  const clip = await loadClip(path.join(folder, "model"));
  const files = pictures.map((file) => path.join(folder, file));
  for (let done = 1; done <= 2000; done++) {
    await clip.embedImages(files.slice(0, 1 + (done % files.length)));
    after(done);
  }
  await clip.dispose();
}
console.log(JSON.stringify({ early, late }));
