/** @file `mpirun diptych train`: several ranks train what one process trains. */
import path from "node:path";
import { describe, expect, test } from "vitest";
import { launchers, noLauncher, start } from "./mpirun.js";

const diptych = path.resolve(import.meta.dirname, "../../dist/cli/main.js");

describe.each(launchers)("$name", (launcher) => {
  test("what one rank throws ends all of them, with its number and message", async () => {
    const { code, stderr } = await start(launcher, 2, [diptych, "train", "none.json", "--out", "none"]).outcome;
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/rank [01]: InvalidRecipe: none.json is no recipe/);
  });
});

if (launchers.length === 0) test.skip(noLauncher, () => {});
