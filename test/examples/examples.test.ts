import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { saveCheckpoint } from "../../src/checkpoint/node.js";
import { tinyCheckpoint } from "../tasks/tiny.js";

const examples = path.resolve(import.meta.dirname, "../../examples");
let folder: string;
const at = (name: string): string => path.join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-"));
  await saveCheckpoint(at("model"), tinyCheckpoint(64));
  for (const background of ["red", "blue"]) {
    await sharp({ create: { width: 50, height: 40, channels: 3, background } }).toFile(at(`${background}.png`));
  }
});
afterAll(() => rm(folder, { recursive: true }));

/** How each is called, and how a line that it prints looks. */
const runs: Readonly<Record<string, { readonly args: () => string[]; readonly line: RegExp; readonly lines: number }>> =
  {
    "embed.mjs": { args: () => [at("red.png"), at("blue.png")], line: /^-?0\.\d{3} {2}.*\.png {2}a /, lines: 4 },
    "zero-shot.mjs": {
      args: () => [at("red.png"), at("blue.png")],
      line: /\.png: (cat|dog|car|flower|ship) \(\d+%\)$/,
      lines: 2,
    },
    "search.mjs": { args: () => [folder, "a red car"], line: /^-?0\.\d{3} {2}(red|blue)\.png$/, lines: 2 },
  };

test.each(Object.entries(runs))("%s runs as it is", async (name, { args, line, lines }) => {
  const { stdout } = await promisify(execFile)(process.execPath, [path.join(examples, name), at("model"), ...args()]);
  const printed = stdout.trimEnd().split("\n");
  expect(printed).toHaveLength(lines);
  for (const each of printed) expect(each).toMatch(line);
});

test("every example is run", async () => {
  expect((await readdir(examples)).filter((name) => name.endsWith(".mjs")).sort()).toEqual(Object.keys(runs).sort());
});
