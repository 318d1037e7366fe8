/** @file Runs that start from a checkpoint. The base is a run of ten steps on eight pairs. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Checkpoint, loadCheckpoint } from "../../src/checkpoint/node.js";
import { createPicturePool, type PicturePool } from "../../src/image/node.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { type Recipe, type TrainOptions, train } from "../../src/train/index.js";
import { recipe, writePairs } from "./pairs.js";

const runtime = nodeRuntime();
let base: string;
let pool: PicturePool;
let start: Checkpoint;
/** What the base's last step lost. */
let reached: number;

/** Goes on from the base, eight steps. */
const further = (changes: Record<string, unknown> = {}): Recipe =>
  recipe({
    model: undefined,
    tokenizer: undefined,
    from: "base",
    epochs: 8,
    learningRate: 1e-3,
    warmup: 2,
    augment: null,
    ...changes,
  });

async function run(name: string, what: Recipe, options: Partial<TrainOptions> = {}) {
  const losses: number[] = [];
  const out = path.join(base, name);
  const observers = [() => ({ onStep: ({ loss }: { loss: number }) => losses.push(loss) })];
  await train(what, { out, base, runtime, pool, ...options, observers: [...observers, ...(options.observers ?? [])] });
  return { losses, checkpoint: await loadCheckpoint(out) };
}

beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), "diptych-"));
  pool = createPicturePool(2);
  await writePairs(base);
  const first = await run("base", recipe({ epochs: 10, augment: null, schedule: "constant" }));
  start = first.checkpoint;
  reached = first.losses.at(-1)!;
});
afterAll(async () => {
  await pool.dispose();
  await rm(base, { recursive: true });
});

describe("a run from a checkpoint", () => {
  test("goes on where the checkpoint stands, with its sizes, tokenizer and preprocessing", async () => {
    const { losses, checkpoint } = await run("further", further());
    expect(losses[0]).toBeLessThan(reached);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    expect(checkpoint.config).toEqual(start.config);
    expect(checkpoint.preprocess).toEqual(start.preprocess);
    expect(checkpoint.tokenizer!.encode("a violet picture")).toEqual(start.tokenizer!.encode("a violet picture"));
  });

  test("is refused where the checkpoint is not there, or is another one when the run is resumed", async () => {
    await expect(run("nothing", further({ from: "elsewhere" }))).rejects.toMatchObject({ code: "CannotRead" });
    const other = run("further", further({ from: "further" }), { resume: true });
    await expect(other).rejects.toMatchObject({ code: "OtherRecipe", problem: expect.stringContaining('"from"') });
  });

  test.each([
    [{ model: "ViT-test" }, 'gives "model" beside "from"'],
    [{ tokenizer: "clip" }, 'gives "tokenizer" beside "from"'],
    [{ from: undefined }, 'neither "model" nor "from"'],
  ])("with %j is refused", (changes, message) => {
    expect(() => further(changes)).toThrow(
      expect.objectContaining({ code: "InvalidRecipe", message: expect.stringContaining(message) }),
    );
  });
});
