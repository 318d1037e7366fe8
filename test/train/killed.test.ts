/** @file Runs in processes of their own that are killed, or asked to end, at any moment, and go on as if nothing had been. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generations, newestCheckpoint } from "../../src/checkpoint/node.js";
import { randomStream } from "../../src/image/index.js";
import type { StepReport } from "../../src/train/index.js";
import { recipe, writePairs } from "./pairs.js";

const main = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
const kills = process.env.DIPTYCH_SLOW ? 20 : 3;
const steps = 6 * kills;
let base: string;

beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), "diptych-"));
  await writePairs(base);
  await writeFile(path.join(base, "recipe.json"), JSON.stringify(recipe({ epochs: steps, saveEvery: 2 })));
});
afterAll(() => rm(base, { recursive: true }));

/** `diptych train`, and a promise of the moment when it has done `count` steps. */
async function start(name: string): Promise<{ child: ChildProcess; done: (count: number) => Promise<void> }> {
  const out = path.join(base, name);
  const resume = (await generations(out)).length > 0 ? ["--resume"] : [];
  const args = [main, "train", path.join(base, "recipe.json"), "--out", out, "--json", ...resume];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  let lines = 0;
  child.stdout!.setEncoding("utf8").on("data", (text: string) => {
    lines += text.split("\n").length - 1;
    child.emit("progress");
  });
  const done = async (count: number): Promise<void> => {
    while (lines < count) await once(child, "progress");
  };
  return { child, done };
}

const ended = async (child: ChildProcess): Promise<unknown> =>
  child.exitCode ?? child.signalCode ?? (await once(child, "exit"))[0];

const logOf = async (name: string): Promise<StepReport[]> =>
  (await readFile(path.join(base, name, "log.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const lossesOf = async (name: string) => (await logOf(name)).map(({ step, loss }) => ({ step, loss }));

const savedIn = async (name: string, file: string): Promise<Buffer> =>
  readFile(path.join(await newestCheckpoint(path.join(base, name)), file));

describe("a run", () => {
  test(`killed at ${kills} random moments ends as one that was left alone, bit for bit`, {
    timeout: 300_000,
  }, async () => {
    const random = randomStream([2026]);
    for (let killed = 0; killed < kills; killed++) {
      const { child, done } = await start("killed");
      await done(2 + Math.floor(random() * 4));
      await sleep(random() * 30); // into the next step or save
      child.kill("SIGKILL");
      await ended(child);
    }
    for (const name of ["killed", "whole"]) {
      const { child } = await start(name);
      expect(await ended(child)).toBe(0);
    }
    expect(await lossesOf("killed")).toEqual(await lossesOf("whole"));
    expect(await lossesOf("whole")).toHaveLength(steps);
    for (const file of ["model.safetensors", "training.safetensors"]) {
      expect((await savedIn("killed", file)).equals(await savedIn("whole", file)), file).toBe(true);
    }
  });

  test.each(["SIGINT", "SIGTERM"] as const)("that gets %s saves what it has done and ends", async (signal) => {
    const { child, done } = await start(signal);
    await done(3);
    child.kill(signal);
    expect(await ended(child)).toBe(0);
    const log = await logOf(signal);
    expect(log.length).toBeLessThan(steps);
    expect(JSON.parse(String(await savedIn(signal, "training.json"))).step).toBe(log.length);
  });
});
