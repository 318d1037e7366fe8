import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";

const settings = ["--expose-gc", "--max-semi-space-size=1", "--import", "tsx"];

describe.skipIf(!process.env.DIPTYCH_SLOW)("memory stays flat", () => {
  test.each([
    ["500 training steps", "train"],
    ["2,000 embedImages calls", "embed"],
  ])("over %s", { timeout: 600_000 }, async (_, task) => {
    const folder = await mkdtemp(path.join(tmpdir(), "diptych-"));
    const script = path.join(import.meta.dirname, "memory.ts");
    const { stdout } = await promisify(execFile)(process.execPath, [...settings, script, task, folder]);
    await rm(folder, { recursive: true });
    const { early, late } = JSON.parse(stdout) as { early: number; late: number };
    expect(early).toBeGreaterThan(0);
    expect(late / early).toBeLessThan(1.1);
  });
});
