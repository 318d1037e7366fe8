import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPicturePool, type PicturePool } from "../../src/image/node.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { type Recipe, type Remark, train, watchRun } from "../../src/train/index.js";
import { createMonitor, diagnose, repetition } from "../../src/train/monitor.js";
import type { Moment, RunFacts } from "../../src/train/remark.js";
import { readEvents } from "./events.js";
import { captions, pictures, recipe, writePairs } from "./pairs.js";

let base: string;
let pool: PicturePool;
beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), "diptych-monitor-"));
  pool = createPicturePool(2);
  await writePairs(base);
});
afterAll(async () => {
  await pool.dispose();
  await rm(base, { recursive: true });
});

const jsonLines = async <T>(file: string): Promise<T[]> =>
  (await readFile(file, "utf8"))
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as T);

async function remarksOf(name: string, what: Recipe, options: { resume?: boolean; stopAfter?: number } = {}) {
  const told: Remark[] = [];
  const stop = new AbortController();
  const run = train(what, {
    out: path.join(base, name),
    base,
    runtime: nodeRuntime(),
    pool,
    resume: options.resume ?? false,
    signal: stop.signal,
    observers: [
      watchRun({ onRemark: (remark) => told.push(remark) }),
      () => ({ onStep: ({ step }) => step + 1 === options.stopAfter && stop.abort() }),
    ],
  });
  const error = await run.then(
    () => undefined,
    (thrown: Error) => thrown,
  );
  // steps of milliseconds may well wait for pictures: that depends on the machine
  const said = told.filter(({ code }) => code !== "StarvedWorkers");
  return { said, error, codes: said.map(({ code }) => code) };
}

/** Small steps, and enough of them for a full window behind the warm-up. */
const calm = (changes: Record<string, unknown> = {}): Recipe =>
  recipe({ epochs: 60, learningRate: 1e-3, warmup: 5, ...changes });

describe("a run gone wrong on purpose", () => {
  test("captions that are all the same: nothing can be learned, and why", async () => {
    await writeFile(
      path.join(base, "same.csv"),
      `filename,caption\n${pictures.map((p) => `${p},a thing`).join("\n")}\n`,
    );
    const { codes } = await remarksOf("same", calm({ data: { table: "same.csv" } }));
    expect(codes).toEqual(["DuplicateCaptions", "StuckAtChance", "Collapsed"]);
  });

  test("captions dealt out anew each epoch: the loss stays at ln(batch)", async () => {
    const dealt = pictures.map((filename, i) => ({
      filename,
      caption: [...captions.slice(i), ...captions.slice(0, i)],
    }));
    await writeFile(path.join(base, "dealt.jsonl"), dealt.map((row) => JSON.stringify(row)).join("\n"));
    const { said, codes } = await remarksOf("dealt", calm({ data: { table: "dealt.jsonl" } }));
    expect(codes).toContain("StuckAtChance");
    expect(said.find(({ code }) => code === "StuckAtChance")!.what).toContain("ln 8 = 2.079");
  });

  test("one picture under several names", async () => {
    for (const copy of ["rot.png", "rouge.png"]) await copyFile(path.join(base, "red.png"), path.join(base, copy));
    const files = ["rot.png", "rouge.png", ...pictures.slice(2)];
    const rows = files.map((file, i) => `${file},${captions[i]}`);
    await writeFile(path.join(base, "copies.csv"), `filename,caption\n${rows.join("\n")}\n`);
    const { said } = await remarksOf("copies", calm({ data: { table: "copies.csv" }, epochs: 12 }));
    expect(said).toMatchObject([{ code: "IdenticalPictures", what: expect.stringContaining("25%") }]);
  });

  test("a learning rate far above every recipe's: named at the first step, and the loss stays at chance", async () => {
    const { codes, said } = await remarksOf("wild", calm({ learningRate: 1 }));
    expect(codes[0]).toBe("LearningRate");
    expect(said[0]).toMatchObject({ step: 0, suggestion: "Try 0.001." });
    expect(codes).toContain("StuckAtChance");
  });

  test("numbers that overflow: the last remark of the run, in its file and its log", async () => {
    const { said, error } = await remarksOf("gone", recipe({ learningRate: 1e30, warmup: 0, clipNorm: null }));
    expect(error).toMatchObject({ code: "Diverged" });
    expect(said.at(-1)).toMatchObject({ code: "Diverged", severity: "error" });
    expect(await jsonLines(path.join(base, "gone/remarks.jsonl"))).toEqual(said);
    expect((await jsonLines<{ step: number }>(path.join(base, "gone/log.jsonl"))).at(-1)!.step).toBe(said.at(-1)!.step);
  });
});

describe("a run that goes well", () => {
  const facts: RunFacts = {
    batchSize: 128,
    pairs: 25_000,
    learningRate: 1e-3,
    warmup: 300,
    clipNorm: 1,
    softmax: true,
    fineTuning: false,
  };
  /** The first steps of `recipes/mini.json`, as they were. */
  const healthy = async (): Promise<Moment[]> => {
    const [head, ...rows] = (await readFile(path.join(import.meta.dirname, "healthyRun.csv"), "utf8"))
      .trim()
      .split("\n");
    return rows.map((row) => {
      const values = row.split(",").map(Number);
      const named = Object.fromEntries(head!.split(",").map((name, i) => [name, values[i]!]));
      return {
        ...named,
        epoch: 0,
        imageCosine: 0.3,
        textCosine: 0.3,
        sameCaption: 0.004,
        samePicture: 0,
      } as unknown as Moment;
    });
  };
  const heard = (moments: readonly Moment[], run = facts): string[] => {
    const monitor = createMonitor(run);
    return moments.flatMap((moment) => monitor.step(moment)).map(({ code, step }) => `${step} ${code}`);
  };

  test("is not talked into", async () => {
    expect(heard(await healthy())).toEqual([]);
  });

  test("of eight pairs is told only that it knows them by heart, once, also when it is resumed", async () => {
    const long = calm({ epochs: 70 });
    const first = await remarksOf("well", long, { stopAfter: 60 });
    expect(first.said).toMatchObject([{ code: "KnownByHeart", severity: "note" }]);
    expect((await remarksOf("well", long, { resume: true })).said).toEqual([]);
    const probes = await jsonLines<{ step: number; similarities: number[][] }>(path.join(base, "well/probe.jsonl"));
    expect(probes.map(({ step }) => step)).toEqual([0, 60, 70]);
    for (const [i, row] of probes.at(-1)!.similarities.entries()) expect(row.indexOf(Math.max(...row))).toBe(i);
    const pairs = JSON.parse(await readFile(path.join(base, "well/probe.json"), "utf8"));
    expect(pairs.map(({ caption }: { caption: string }) => caption).sort()).toEqual([...captions].sort());
    const red = pairs.find(({ caption }: { caption: string }) => caption === "a red picture");
    const [r, g, b] = await sharp(Buffer.from(red.picture.split(",")[1], "base64"))
      .raw()
      .toBuffer();
    expect([r! > 220, g! < 30, b! < 30]).toEqual([true, true, true]);
    const events = await readEvents(path.join(base, "well/tensorboard"));
    expect(events.flatMap(({ step, images }) => (images.probe ? [[step, images.probe.width]] : []))).toEqual([
      [0, 96],
      [59, 96],
      [69, 96],
    ]);
    expect(events.filter(({ starts }) => starts).map(({ step }) => step)).toEqual([0, 60]);
    const log = await jsonLines<{ step: number; loss: number }>(path.join(base, "well/log.jsonl"));
    const losses = events.filter(({ scalars }) => "loss" in scalars).map(({ step, scalars }) => [step, scalars.loss]);
    expect(losses).toEqual(log.map(({ step, loss }) => [step, Math.fround(loss)]));
  });

  test.each<[string, Partial<Moment>, Partial<RunFacts>]>([
    ["ScaleAtClamp", { logitScale: 100 }, {}],
    ["ScaleFalling", { logitScale: 3 }, {}],
    ["StarvedWorkers", { waiting: 0.5 }, {}],
    ["Collapsed", { imageCosine: 0.99 }, {}],
    ["AlwaysClipped", { gradientNorm: 80 }, {}],
    ["LearningRate", {}, { learningRate: 1e-3, fineTuning: true }],
    ["LearningRate", {}, { learningRate: 1e-6 }],
  ])("and then has one trouble, hears of it once: %s", async (code, moment, run) => {
    const moments = (await healthy()).slice(300).map((each) => ({ ...each, ...moment }));
    const codes = heard(moments, { ...facts, ...run });
    expect(codes).toHaveLength(1);
    expect(codes[0]).toContain(code);
  });

  test("hears of a trouble again when it was gone for a hundred steps, not of one that flickers", async () => {
    const moments = await healthy();
    const waits =
      (from: number, to: number) =>
      (moment: Moment): Moment =>
        moment.step >= from && moment.step < to ? { ...moment, waiting: 0.9 } : moment;
    const flickering = heard(moments.map(waits(60, 100)).map(waits(150, 190)));
    expect(flickering).toHaveLength(1);
    const returning = heard(moments.map(waits(60, 100)).map(waits(320, 360)));
    expect(returning).toHaveLength(2);
  });

  test("three batches that pull ten times as hard are spoken of, one is not", async () => {
    const moments = await healthy();
    const spiked = (steps: readonly number[]): Moment[] =>
      moments.map((moment) => (steps.includes(moment.step) ? { ...moment, gradientNorm: 50 } : moment));
    expect(heard(spiked([370]))).toEqual([]);
    expect(heard(spiked([370, 380, 390]))).toEqual(["390 GradientSpikes"]);
  });

  test("a recall on held-out pairs that falls twice far below its best is overfitting", async () => {
    const window = (await healthy()).slice(-50);
    const at = (recall: number) => ({ "recall@1": recall, "recall@5": recall, "recall@10": recall });
    const found = (recalls: readonly number[]): string[] =>
      diagnose({
        run: facts,
        window,
        validations: recalls.map((recall, i) => ({ step: i * 100, textToImage: at(recall), imageToText: at(recall) })),
      }).map(({ code }) => code);
    expect(found([0.1, 0.4, 0.39, 0.38, 0.395])).toEqual([]);
    expect(found([0.1, 0.4, 0.3, 0.28])).toEqual(["Overfitting"]);
  });
});

describe("repetition", () => {
  test("counts the other rows that say the same, and the rows that show the same file", () => {
    const batch = { size: 4, group: Int32Array.of(0, 1, 0, 3), checksums: Uint32Array.of(7, 7, 7, 9) };
    expect(repetition(batch)).toEqual({ sameCaption: 2 / 12, samePicture: 3 / 4 });
    expect(repetition({ size: 1, group: Int32Array.of(0), checksums: Uint32Array.of(1) }).sameCaption).toBe(0);
  });
});
