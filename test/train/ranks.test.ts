/** @file `mpirun diptych train`, or srun: several ranks train what one process trains, and end together. */
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadCheckpoint } from "../../src/checkpoint/node.js";
import { createPicturePool } from "../../src/image/node.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { type Recipe, type StepReport, train } from "../../src/train/index.js";
import { type Launcher, launchers, namespaces, noLauncher, start } from "./mpirun.js";
import { recipe, writePairs } from "./pairs.js";

const diptych = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
const slow = process.env.DIPTYCH_SLOW === "1";
let base: string;
const at = (...names: string[]): string => path.join(base, ...names);

/** A run by this process alone, in `NAME`. */
async function alone(name: string, what: Recipe, resume = false): Promise<void> {
  const pool = createPicturePool(1);
  await train(what, { out: at(name), base, runtime: nodeRuntime(), pool, resume }).finally(() => pool.dispose());
}

async function onRanks(launcher: Launcher, ranks: number, name: string, what: Recipe, apart = false) {
  await writeFile(at(`${name}.json`), JSON.stringify(what));
  return start(launcher, ranks, [diptych, "train", at(`${name}.json`), "--out", at(name), "--json"], { apart });
}

const logOf = async (name: string): Promise<StepReport[]> =>
  (await readFile(at(name, "log.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

/** Largest difference of two runs' losses, and of their weights. */
async function distance(one: string, other: string): Promise<{ loss: number; weight: number }> {
  const [a, b] = await Promise.all([logOf(one), logOf(other)]);
  expect(a.map(({ step }) => step)).toEqual(b.map(({ step }) => step));
  const [{ parameters }, { parameters: others }] = await Promise.all([
    loadCheckpoint(at(one)),
    loadCheckpoint(at(other)),
  ]);
  expect([...parameters.keys()]).toEqual([...others.keys()]);
  const apart = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
    Math.max(...Array.from(x, (value, i) => Math.abs(value - y[i]!)));
  return {
    loss: apart(
      a.map(({ loss }) => loss),
      b.map(({ loss }) => loss),
    ),
    weight: Math.max(...[...parameters].map(([name, { data }]) => apart(data, others.get(name)!.data))),
  };
}

beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), "diptych-"));
  await writePairs(base);
  await alone("alone", recipe({ epochs: 6 }));
}, 60_000);
afterAll(() => rm(base, { recursive: true }));

describe.each(launchers)("$name", (launcher) => {
  const equalsAlone = async (ranks: number, microBatch: number, apart = false) => {
    const name = `${launcher.name}-${ranks}-${microBatch}-${apart}`;
    const started = await onRanks(launcher, ranks, name, recipe({ epochs: 6, microBatch }), apart);
    const { code, stdout, stderr } = await started.outcome;
    expect(code, stderr).toBe(0);
    expect(stdout.trim().split("\n")).toHaveLength(6); // rank 0 prints, and no other
    const { loss, weight } = await distance(name, "alone");
    expect(loss).toBeLessThan(1e-5);
    expect(weight).toBeLessThan(1e-5);
  };

  const all = [2, 4].flatMap((ranks) => [1, 2].map((microBatch) => [ranks, microBatch] as const));
  const quick = launcher.mpi === "MPICH" ? ([[2, 1]] as const) : ([[4, 1]] as const);
  test.each(slow ? all : quick)("%i ranks × micro-batches of %i equal one process", (ranks, microBatch) =>
    equalsAlone(ranks, microBatch),
  );

  test.runIf(slow && launcher.apart && spawnSync(namespaces, ["1", "true"]).status === 0)(
    "2 and 4 ranks in two network namespaces equal one process (needs root)",
    async () => {
      await equalsAlone(2, 1, true);
      await equalsAlone(4, 1, true);
    },
    120_000,
  );

  test("a rank that is killed ends the run; it goes on from its last checkpoint", async () => {
    const name = `${launcher.name}-killed`;
    const started = await onRanks(launcher, 2, name, recipe({ epochs: 100_000, saveEvery: 3 }));
    const [, pid] = await started.seen(/rank 1 of 2: process (\d+)/);
    await started.seen(/"step":7,/);
    process.kill(Number(pid), "SIGKILL");
    expect((await started.outcome).code).not.toBe(0);
    const steps = (await logOf(name)).length + 2;
    await alone(name, recipe({ epochs: steps, saveEvery: 3 }), true);
    expect((await logOf(name)).map(({ step }) => step)).toEqual([...Array(steps).keys()]);
  });

  test("what one rank throws ends all of them, with its number and message", async () => {
    const { code, stderr } = await start(launcher, 2, [diptych, "train", "none.json", "--out", "none"]).outcome;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/rank [01]: \w+: none.json/);
  });
});

if (launchers.length === 0) test.skip(noLauncher, () => {});
