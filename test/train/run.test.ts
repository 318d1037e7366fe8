import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newestCheckpoint } from "../../src/checkpoint/node.js";
import { createPicturePool, type PicturePool } from "../../src/image/node.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { row, similarityMatrix } from "../../src/tasks/index.js";
import { loadClip } from "../../src/tasks/node.js";
import { type Recipe, type StepReport, type TrainOptions, type TrainResult, train } from "../../src/train/index.js";
import { captions, pictures, recipe, writePairs } from "./pairs.js";

const runtime = nodeRuntime();
let base: string;
let pool: PicturePool;

beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), "diptych-"));
  pool = createPicturePool(2);
  await writePairs(base);
});
afterAll(async () => {
  await pool.dispose();
  await rm(base, { recursive: true });
});

interface Run {
  readonly out: string;
  readonly result: TrainResult;
  readonly losses: readonly number[];
}

type RunOptions = Partial<TrainOptions> & { readonly onStep?: (report: StepReport) => unknown };

async function run(name: string, what: Recipe, { onStep, ...options }: RunOptions = {}): Promise<Run> {
  const out = path.join(base, name);
  const losses: number[] = [];
  const result = await train(what, {
    out,
    base,
    runtime,
    pool,
    ...options,
    observers: [() => ({ onStep: ({ loss }) => losses.push(loss) }), () => ({ ...(onStep && { onStep }) })],
  });
  return { out, result, losses };
}

/** Of a file of the run's newest checkpoint. */
const hashOf = async (out: string, file: string) =>
  createHash("sha256")
    .update(await readFile(path.join(await newestCheckpoint(out), file)))
    .digest("hex");

const logOf = async (out: string): Promise<StepReport[]> =>
  (await readFile(path.join(out, "log.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("a run on eight pairs", () => {
  let first: Run;
  beforeAll(async () => {
    first = await run("first", recipe());
  });

  test("ends with a checkpoint that finds every picture by its caption and every caption by its picture", async () => {
    expect(first.result).toEqual({ steps: 40, finished: true, unreadable: 0 });
    expect(first.losses[0]).toBeGreaterThan(1.5);
    const clip = await loadClip(first.out);
    const images = await clip.embedImages(pictures.map((file) => path.join(base, file)));
    const texts = await clip.embedTexts(captions);
    const best = (rows: Float32Array) => rows.indexOf(Math.max(...rows));
    for (let i = 0; i < captions.length; i++) {
      expect(best(row(similarityMatrix(images, texts), i)), captions[i]).toBe(i);
      expect(best(row(similarityMatrix(texts, images), i)), pictures[i]).toBe(i);
    }
    await clip.dispose();
  });

  test("logs every step", async () => {
    const log = await logOf(first.out);
    expect(log.map(({ step }) => step)).toEqual([...Array(40).keys()]);
    expect(log.map(({ loss }) => loss)).toEqual(first.losses);
    expect(log[4]!.learningRate).toBe(3e-3);
    for (const { seconds, waiting, logitScale, gradientNorm, truncated } of log) {
      expect(truncated).toBe(0);
      expect(seconds).toBeGreaterThan(0);
      expect(waiting).toBeLessThanOrEqual(1);
      expect(logitScale).toBeLessThanOrEqual(100);
      expect(gradientNorm).toBeGreaterThan(0);
    }
  });

  test("with the same seed has the same losses bit for bit, with another seed others", async () => {
    const again = await run("again", recipe());
    expect(again.losses).toEqual(first.losses);
    expect(await hashOf(again.out, "model.safetensors")).toBe(await hashOf(first.out, "model.safetensors"));
    const other = await run("other", recipe({ seed: 2 }), { signal: AbortSignal.abort() });
    expect(other.losses[0]).not.toBe(first.losses[0]);
  });

  test("stopped twice and resumed equals the uninterrupted one bit for bit", async () => {
    const losses: number[] = [];
    for (const stopAfter of [7, 20, 40]) {
      const stop = new AbortController();
      const part = await run("parts", recipe(), {
        resume: losses.length > 0,
        signal: stop.signal,
        onStep: ({ step }) => step + 1 === stopAfter && stop.abort(),
      });
      losses.push(...part.losses);
      expect(part.result).toMatchObject({ steps: stopAfter, finished: stopAfter === 40 });
    }
    expect(losses).toEqual(first.losses);
    const out = path.join(base, "parts");
    expect(await hashOf(out, "model.safetensors")).toBe(await hashOf(first.out, "model.safetensors"));
    expect((await logOf(out)).map(({ step }) => step)).toEqual([...Array(40).keys()]);
  });

  test("a finished run that is resumed has nothing to do", async () => {
    const before = await hashOf(first.out, "model.safetensors");
    const { result, losses } = await run("first", recipe(), { resume: true });
    expect([result.finished, losses.length]).toEqual([true, 0]);
    expect(await hashOf(first.out, "model.safetensors")).toBe(before);
  });
});

describe("a run's folder", () => {
  const short = recipe({ epochs: 2 });
  let kept: Run;
  beforeAll(async () => {
    kept = await run("kept", short);
  });

  test("is not overwritten by another run", async () => {
    const before = await hashOf(kept.out, "model.safetensors");
    await expect(run("kept", short)).rejects.toMatchObject({
      code: "RunExists",
      problem: `${kept.out} holds a run of 2 steps.`,
    });
    expect(await hashOf(kept.out, "model.safetensors")).toBe(before);
  });

  test("keeps as many checkpoints as the recipe says, the newest, and nothing else", async () => {
    const { out } = await run("many", recipe({ epochs: 9, saveEvery: 2, keep: 3 }), {
      onStep: () => mkdir(path.join(base, "many/checkpoints/step-00000001.tmp-killed"), { recursive: true }),
    });
    expect(await readdir(path.join(out, "checkpoints"))).toEqual(["step-00000006", "step-00000008", "step-00000009"]);
    expect(path.basename(await newestCheckpoint(out))).toBe("step-00000009");
  });

  test("has each step once in its log, also when the run had logged more than it saved, and half a line", async () => {
    const { out } = await run("killed", recipe({ epochs: 4 }));
    const log = await logOf(out);
    await writeFile(
      path.join(out, "log.jsonl"),
      `${[...log, { step: 4 }, { step: 5 }].map((line) => JSON.stringify(line)).join("\n")}\n{"step": 6, "lo`,
    );
    await run("killed", recipe({ epochs: 6 }), { resume: true });
    expect((await logOf(out)).map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5]);
    expect((await logOf(out)).slice(0, 4)).toEqual(log);
  });

  test("takes a longer run with another rate, not another model, batch or seed", async () => {
    for (const changes of [{ model: "ViT-mini" }, { batchSize: 4 }, { seed: 9 }, { tokenizer: "clip" }]) {
      const other = run("kept", recipe({ epochs: 2, ...changes }), { resume: true });
      await expect(other).rejects.toMatchObject({
        code: "OtherRecipe",
        problem: expect.stringContaining(`another "${Object.keys(changes)[0]}"`),
      });
    }
    const longer = await run("kept", recipe({ epochs: 3, learningRate: 1e-4 }), { resume: true });
    expect(longer.result).toMatchObject({ steps: 3, finished: true });
  });
});

describe("what goes wrong", () => {
  test("a sample that cannot be read is counted, reported and skipped", async () => {
    await writePairs(base, ["broken.png", "cut.png"]);
    await writeFile(path.join(base, "broken.png"), "no picture");
    await writeFile(path.join(base, "cut.png"), (await readFile(path.join(base, "red.png"))).subarray(0, 60));
    const problems: string[] = [];
    const { result } = await run("broken", recipe({ epochs: 4 }), { onProblem: (problem) => problems.push(problem) });
    await writePairs(base);
    expect(result.finished).toBe(true);
    expect(result.unreadable).toBe(problems.length);
    expect(result.unreadable).toBeGreaterThan(0);
    expect(problems.some((problem) => problem.includes("broken.png"))).toBe(true);
    expect(problems.every((problem) => /broken\.png|cut\.png/.test(problem))).toBe(true);
  });

  test("a loss that is no number ends the run, and the checkpoint before it stays", async () => {
    const wild = run("wild", recipe({ learningRate: 1e30, warmup: 0, clipNorm: null }));
    await expect(wild).rejects.toMatchObject({
      code: "Diverged",
      remedy: expect.stringContaining("The checkpoint of step 0 is intact"),
    });
    const clip = await loadClip(path.join(base, "wild"));
    expect((await clip.embedTexts(["a red picture"])).data.every(Number.isFinite)).toBe(true);
    await clip.dispose();
  });

  test.each<[string, Partial<Recipe>, Partial<TrainOptions>]>([
    ["NothingToResume", {}, { resume: true }],
    ["InvalidSource", { data: {} }, {}],
  ])("%s", async (code, changes, options) => {
    await expect(run("refused", recipe(changes), options)).rejects.toMatchObject({ code });
  });
});
