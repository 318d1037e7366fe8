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

const vulkan = "/usr/lib/chromium";
const missing = ["libvulkan.so.1", "vk_swiftshader_icd.json"].filter((file) => !existsSync(path.join(vulkan, file)));
const why = missing.length > 0 ? ` (skipped: no ${missing.join(", ")} in ${vulkan})` : "";

test.skipIf(missing.length > 0 || !process.env.DIPTYCH_SLOW)(
  `a run on WebGPU has the losses of one on the CPU${why}`,
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
    const { cpu, webgpu } = JSON.parse(stdout) as { cpu: number[]; webgpu: number[] };
    expect(cpu).toHaveLength(3);
    for (const [step, loss] of webgpu.entries()) expect(Math.abs(loss - cpu[step]!)).toBeLessThan(1e-3);
  },
);
