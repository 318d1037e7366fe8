/** @file Runs that start from a checkpoint. The base is a run of ten steps on eight pairs. */
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Checkpoint, loadCheckpoint, loadTraining, newestCheckpoint } from "../../src/checkpoint/node.js";
import { readRun } from "../../src/cli/runFolder.js";
import { presets } from "../../src/clip/index.js";
import { createPicturePool, type PicturePool } from "../../src/image/node.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { createEma, type Recipe, type TrainOptions, train, type Validation, watchRun } from "../../src/train/index.js";
import { largestDifference } from "../clip/goldenModel.js";
import { hasShared, shared } from "../goldens.js";
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
  const folder = await newestCheckpoint(out);
  return { losses, checkpoint: await loadCheckpoint(folder), training: (await loadTraining(folder))! };
}

/** The same run as a whole, and stopped after its fourth step and resumed. */
async function bothWays(name: string, what: Recipe) {
  const whole = await run(name, what);
  const stop = new AbortController();
  const stopAtFourth = () => ({ onStep: ({ step }: { step: number }) => step === 3 && stop.abort() });
  const first = await run(`${name}-parts`, what, { signal: stop.signal, observers: [stopAtFourth] });
  const second = await run(`${name}-parts`, what, { resume: true });
  return { whole, parts: { ...second, losses: [...first.losses, ...second.losses] } };
}

/** A hash of every tensor: what two runs that are equal bit for bit have in common. */
const bitsOf = ({ checkpoint, training }: Awaited<ReturnType<typeof run>>): Record<string, string> => {
  const state = training.tensors.map(({ name, data }) => [`training: ${name}`, data] as const);
  const model = [...checkpoint.parameters].map(([name, { data }]) => [name, data] as const);
  return Object.fromEntries([...model, ...state].map(([name, data]) => [name, hash(data)]));
};
const hash = (data: Float32Array): string => createHash("sha256").update(data).digest("hex");

/** Names of the checkpoint's parameters that are not the start's, to the bit. */
const changed = ({ parameters }: Checkpoint): string[] =>
  [...parameters].filter(([name, { data }]) => largestDifference(data, startOf(name)) > 0).map(([name]) => name);

const startOf = (name: string): Float32Array => start.parameters.get(name)!.data;

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

  test.skipIf(!hasShared)("takes a Hugging Face folder, and says so where one lacks its tokenizer", async () => {
    const from = shared("goldens/models/vit-full.hf");
    const { checkpoint } = await run("published", further({ from, epochs: 1 }));
    expect(checkpoint.config).toEqual((await loadCheckpoint(from)).config);
    const without = further({ from: shared("goldens/models/vit-gelu/vit-gelu.hf") });
    await expect(run("wordless", without)).rejects.toMatchObject({ code: "NoTokenizer" });
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

describe("a locked tower", () => {
  test("stays as it is, without moments, and the other learns", async () => {
    const { checkpoint, training, losses } = await run("locked", further({ lock: { image: true } }));
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
    const names = changed(checkpoint);
    expect(names.filter((name) => name.startsWith("visual."))).toEqual([]);
    expect(names).toContain("text_projection");
    const states = training.tensors.map(({ name }) => name);
    expect(states.filter((name) => name.includes("visual."))).toEqual([]);
    expect(states).toContain("second moment of text_projection");
  });
});

describe("LoRA", () => {
  const lora = further({ lora: { rank: 2, alpha: 4 }, learningRate: 1e-2 });
  let ways: Awaited<ReturnType<typeof bothWays>>;
  beforeAll(async () => {
    ways = await bothWays("lora", lora);
  });

  test("begins where the base stands and learns", async () => {
    const plain = await run("plain", further({ epochs: 1 }));
    expect(ways.whole.losses[0]).toBe(plain.losses[0]);
    expect(ways.whole.losses.at(-1)).toBeLessThan(0.5 * ways.whole.losses[0]!);
  });

  test("leaves all but its matrices as they are, and those untouched below the adapters", async () => {
    const { checkpoint, training } = ways.whole;
    const matrices = changed(checkpoint);
    expect(matrices.length).toBeGreaterThan(0);
    expect(matrices.every((name) => /(attn|mlp)\..*weight$/.test(name))).toBe(true);
    const kept = new Map(training.tensors.map(({ name, data }) => [name, data]));
    for (const name of matrices) expect(largestDifference(kept.get(`trained ${name}`)!, startOf(name))).toBe(0);
    const moments = [...kept.keys()].filter((name) => name.includes("moment"));
    expect(moments.every((name) => /lora_[AB]$/.test(name))).toBe(true);
  });

  test("resumed equals the uninterrupted run bit for bit", () => {
    expect(ways.parts.losses).toEqual(ways.whole.losses);
    expect(bitsOf(ways.parts)).toEqual(bitsOf(ways.whole));
  });
});

describe("averaged weights", () => {
  test("are what the checkpoint holds, and resume bit for bit beside those that are trained", async () => {
    const { whole, parts } = await bothWays("averaged", further({ ema: 0.6 }));
    const plain = await run("not-averaged", further());
    expect(whole.losses).toEqual(plain.losses);
    expect(parts.losses).toEqual(whole.losses);
    const bits = bitsOf(whole);
    expect(bitsOf(parts)).toEqual(bits);
    for (const [name, { data }] of plain.checkpoint.parameters) {
      expect(bits[`training: trained ${name}`]).toBe(hash(data));
    }
    expect(changed(whole.checkpoint)).toContain("text_projection");
  });

  test("follow the parameters, at first faster, by the formula", async () => {
    const parameters = Float32Array.from({ length: 70_003 }, (_, i) => Math.sin(i));
    const learned = 70_001;
    const average = parameters.slice(0, learned);
    const ema = await createEma(average, 0.5, runtime);
    const expected = Array.from(parameters.subarray(0, learned));
    for (let updates = 1; updates <= 12; updates++) {
      for (let i = 0; i < parameters.length; i++) parameters[i] = Math.cos(i * updates);
      await ema.update(parameters, updates);
      const keep = Math.min(0.5, (1 + updates) / (10 + updates));
      for (let i = 0; i < learned; i++) expected[i] = keep * expected[i]! + (1 - keep) * parameters[i]!;
    }
    expect(largestDifference(average, expected)).toBeLessThan(1e-6);
    await ema.dispose();
  });
});

describe("dropped patches", () => {
  test("are others at every step, and the same when a run is resumed", async () => {
    const { whole, parts } = await bothWays("dropped", further({ patchDropout: 0.5, learningRate: 1e-12 }));
    expect(new Set(whole.losses).size).toBe(whole.losses.length);
    expect(parts.losses).toEqual(whole.losses);
  });

  test("need a ViT", async () => {
    const resnet = { kind: "resnet", imageSize: 32, layers: [1, 1, 1, 1], width: 8, heads: 4 };
    const model = { ...presets["ViT-test"], image: resnet };
    await expect(run("resnet", recipe({ model, patchDropout: 0.5 }))).rejects.toMatchObject({ code: "NoPatches" });
  });
});

describe("validation", () => {
  const held = { data: { table: "captions.csv" }, every: 3 };
  const linesOf = async (name: string): Promise<Validation[]> =>
    (await readFile(path.join(base, name, "validation.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));

  test("is written down every few steps and at the end", async () => {
    const told: Validation[] = [];
    const what = recipe({ epochs: 20, validation: { ...held, every: 6 } });
    await run("validated", what, { observers: [() => ({ onValidation: (line) => told.push(line) })] });
    const lines = await linesOf("validated");
    expect(lines).toEqual(told);
    expect(lines.map(({ step }) => step)).toEqual([5, 11, 17, 19]);
    const scores = lines.map(({ textToImage }) => textToImage["recall@1"]);
    expect(scores.at(-1)).toBe(1);
    for (const [i, { best }] of lines.entries())
      expect(best).toBe(scores.slice(0, i).every((each) => each < scores[i]!));
  });

  test("keeps the model as it is published: merged", async () => {
    const what = further({ epochs: 2, lora: { rank: 1, alpha: 1 }, validation: held });
    const { checkpoint } = await run("merged", what);
    const best = await loadCheckpoint(path.join(base, "merged", "best"));
    expect([...best.parameters.keys()]).toEqual([...checkpoint.parameters.keys()]);
    for (const [name, { data }] of checkpoint.parameters)
      expect(hash(best.parameters.get(name)!.data)).toBe(hash(data));
  });

  test("that brings nothing better ends the run, for good", async () => {
    const what = further({ learningRate: 1e-12, validation: { ...held, patience: 1 } });
    const { losses, training } = await run("stale", what, { observers: [watchRun()] });
    expect(losses.length).toBe(6);
    expect(training.state).toMatchObject({ step: 6 });
    expect((await linesOf("stale")).map(({ best }) => best)).toEqual([true, false]);
    expect(await readRun(path.join(base, "stale"))).toMatchObject({ state: "stopped early" });
    expect((await run("stale", what, { resume: true })).losses).toEqual([]);
  });

  test("resumed goes on from the validations before", async () => {
    const what = further({ validation: held });
    await bothWays("watched", what);
    expect(await linesOf("watched-parts")).toEqual(await linesOf("watched"));
  });
});
