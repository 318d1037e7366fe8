/** @file `diptych embed --shards`: one file a shard, by several processes, and again after an interruption. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readSafetensors, saveCheckpoint } from "../../src/checkpoint/node.js";
import { loadClip } from "../../src/tasks/node.js";
import { tarOf } from "../data/tarOf.js";
import { tinyCheckpoint } from "../tasks/tiny.js";
import { launchers, start } from "../train/mpirun.js";
import { diptych } from "./run.js";

const main = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
const colours = ["red", "green", "blue", "white"];
const shards = 4;
let base: string;
const at = (...names: string[]): string => path.join(base, ...names);
const embed = (...args: string[]): string[] => [
  ...["embed", "--model", at("model"), "--shards", at("{000..003}.tar"), "--captions"],
  ...args,
];
const pngOf = (background: string) =>
  sharp({ create: { width: 40, height: 40, channels: 3, background } })
    .png()
    .toBuffer();

/** Each shard has a picture with two captions, one without, and one that is damaged. */
beforeAll(async () => {
  base = await mkdtemp(path.join(tmpdir(), "diptych-"));
  for (const [i, colour] of colours.entries()) {
    const entries = [
      { name: "a.png", content: await pngOf(colour) },
      { name: "a.json", content: JSON.stringify({ captions: [`${colour} paper`, "a square"] }) },
      { name: "b.png", content: "damaged" },
      { name: "c.png", content: await pngOf("black") },
    ];
    await writeFile(at(`00${i}.tar`), tarOf(entries));
  }
  await saveCheckpoint(at("model"), tinyCheckpoint(64));
});
afterAll(() => rm(base, { recursive: true }));

const contents = async (out: string) => {
  const files = (await readdir(at(out))).filter((name) => name.endsWith(".safetensors")).sort();
  return Promise.all(files.map((file) => readFile(at(out, file), "base64")));
};

describe("embed --shards", () => {
  beforeAll(async () => {
    expect(await diptych(embed("--out", at("all")))).toMatchObject({ code: 0, stdout: "" });
  }, 60_000);

  test("writes what embedding the pictures and captions one by one gives", async () => {
    const clip = await loadClip(at("model"));
    for (let i = 0; i < shards; i++) {
      const { tensors, metadata } = await readSafetensors(at("all", `00${i}.safetensors`));
      expect(metadata).toEqual({
        format: "pt",
        images: '["a","c"]',
        texts: JSON.stringify([`${colours[i]} paper`, "a square"]),
        of: "[0,0]",
      });
      const expected = {
        images: await clip.embedImages([await pngOf(colours[i]!), await pngOf("black")]),
        texts: await clip.embedTexts([`${colours[i]} paper`, "a square"]),
      };
      for (const [name, { data, shape }] of Object.entries(expected)) {
        const found = tensors.find((tensor) => tensor.name === name)!;
        expect(found.shape).toEqual(shape);
        data.forEach((value, k) => {
          expect(found.data[k]).toBeCloseTo(value, 5);
        });
      }
    }
    await clip.dispose();
  });

  test("killed after the first shard and started again, skips it and gives the same in the end", async () => {
    const child = spawn(process.execPath, [main, ...embed("--out", at("parts"), "--rank", "1", "--ranks", "2")]);
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (text.includes("written")) child.kill("SIGKILL");
    });
    await once(child, "close");
    await writeFile(at("parts", "000.safetensors.tmp-1"), "cut off while it was written");
    const before = await stat(at("parts", "001.safetensors"));
    const { code, stderr } = await diptych(embed("--out", at("parts")));
    expect(code).toBe(0);
    expect(stderr).toMatch(/[12] of 4 shards are done\n/);
    expect((await stat(at("parts", "001.safetensors"))).mtimeMs).toEqual(before.mtimeMs);
    expect(await contents("parts")).toEqual(await contents("all"));
  });

  test.each(launchers)("ranks of $name share the shards", async (launcher) => {
    const out = launcher.name;
    const { code } = await start(launcher, 2, [main, ...embed("--out", at(out))]).outcome;
    expect(code).toBe(0);
    expect(await contents(out)).toEqual(await contents("all"));
  });

  test("a shard that cannot be read fails alone, and the command with it", async () => {
    const { code, stderr } = await diptych([
      "embed",
      "--model",
      at("model"),
      "--shards",
      at("00{3,9}.tar"),
      "--out",
      at("some"),
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain("1 of 2 shards could not be embedded");
    expect(await readdir(at("some"))).toContain("003.safetensors");
  });

  test("a folder of other embeddings and no such rank are refused", async () => {
    expect(await diptych(["embed", "--shards", at("000.tar"), "--out", at("all")])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("holds other embeddings"),
    });
    expect(await diptych(embed("--out", at("all"), "--rank", "2", "--ranks", "2"))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("no rank 2 of 2"),
    });
  });
});
