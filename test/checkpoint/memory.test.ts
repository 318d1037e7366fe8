/** @file The memory that loading a large model takes, in a process of its own. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { toHuggingFaceConfig } from "../../src/checkpoint/huggingFace.js";
import { dialectFor, storedAs } from "../../src/checkpoint/names.js";
import { toOpenClipConfig } from "../../src/checkpoint/toOpenClip.js";
import { type ParameterSpec, parameterTable, presets } from "../../src/clip/index.js";
import { openaiPreprocess } from "../../src/image/index.js";

const config = presets["ViT-L-14"];
const bytesOf = (shape: readonly number[], width: number) => shape.reduce((a, b) => a * b, width);

/** A safetensors file with these tensors, all zero: a hole in the file system that takes no room on the disk. */
async function writeZeros(file: string, table: readonly Pick<ParameterSpec, "name" | "shape">[], dtype: "F32" | "F16") {
  let end = 0;
  const entries = table.map(({ name, shape }) => {
    const start = end;
    end += bytesOf(shape, dtype === "F32" ? 4 : 2);
    return [name, { dtype, shape, data_offsets: [start, end] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const handle = await open(file, "wx");
  await handle.writeFile(Buffer.concat([length, header]));
  await handle.truncate(8 + header.length + end);
  await handle.close();
}

const layouts = {
  open_clip: {
    weights: "open_clip_model.safetensors",
    config: "open_clip_config.json",
    json: toOpenClipConfig({ config, preprocess: openaiPreprocess(224), tokenizer: null }),
  },
  transformers: { weights: "model.safetensors", config: "config.json", json: toHuggingFaceConfig(config) },
} as const;

describe.skipIf(!process.env.DIPTYCH_SLOW)("loading ViT-L/14 takes at most 1.25 times the size of its numbers", () => {
  test.each([
    ["open_clip", "F32"],
    ["open_clip", "F16"],
    ["transformers", "F32"],
  ] as const)("%s, %s", { timeout: 300_000 }, async (library, dtype) => {
    const folder = await mkdtemp(path.join(tmpdir(), "diptych-large-"));
    try {
      const layout = layouts[library];
      const dialect = dialectFor(config, library);
      const table = parameterTable(config).flatMap(({ name, shape }) => storedAs(dialect, name, shape).parts);
      await mkdir(folder, { recursive: true });
      await writeZeros(path.join(folder, layout.weights), table, dtype);
      await writeFile(path.join(folder, layout.config), JSON.stringify(layout.json));
      const script = path.join(import.meta.dirname, "loading.ts");
      const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", script, folder]);
      const { numbers, peak } = JSON.parse(stdout) as { numbers: number; peak: number };
      expect(numbers).toBe(427_616_513);
      expect(peak).toBeLessThan(1.25 * 4 * numbers);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
