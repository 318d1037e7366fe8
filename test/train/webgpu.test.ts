/**
 * @file Training on WebGPU, through the software Vulkan (SwiftShader) and the loader that Debian's `chromium` carries.
 * Every operator's shader is compiled for the CPU, which takes minutes.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { Found } from "./webgpu.js";

const vulkan = "/usr/lib/chromium";
const missing = ["libvulkan.so.1", "vk_swiftshader_icd.json"].filter((file) => !existsSync(path.join(vulkan, file)));
const why = missing.length > 0 ? ` (skipped: no ${missing.join(", ")} in ${vulkan})` : "";

test.skipIf(missing.length > 0 || !process.env.DIPTYCH_SLOW)(
  `a run on WebGPU has the losses and the checkpoint of one on the CPU, and its state does not cross the bus${why}`,
  { timeout: 900_000 },
  async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "diptych-"));
    const script = path.join(import.meta.dirname, "webgpu.ts");
    const env = {
      ...process.env,
      LD_LIBRARY_PATH: vulkan,
      VK_DRIVER_FILES: path.join(vulkan, "vk_swiftshader_icd.json"),
      XDG_RUNTIME_DIR: folder,
    };
    const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", script, folder], { env });
    await rm(folder, { recursive: true });
    const { losses, away, others, left, runs, stateBytes, held } = JSON.parse(stdout) as Found;
    expect(left).toEqual([]);
    expect(losses.cpu).toHaveLength(3);
    for (const [step, loss] of losses.cpu.entries()) {
      expect(Math.abs(losses.webgpu[step]! - loss), `loss of step ${step}`).toBeLessThan(1e-3);
      expect(Math.abs(losses.resumed[step]! - losses.webgpu[step]!), `loss of step ${step}`).toBeLessThan(1e-5);
    }
    // The keys' bias is the largest: attention does not depend on it, so that its gradient is what rounding leaves.
    for (const { name, difference } of Object.values(away)) expect(difference, name).toBeLessThan(2e-3);
    for (const [kind, difference] of Object.entries(others)) expect(difference, kind).toBeLessThan(1e-4);
    const [first, ...later] = runs.map(({ fed }) => fed);
    for (const fed of later) expect(first! - fed).toBe(stateBytes);
    for (const { given } of runs) expect(given).toBeLessThan(1000);
    expect(held).toBe(0);
  },
);
