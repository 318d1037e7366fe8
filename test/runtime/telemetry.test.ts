import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

// ONNX Runtime's reporter, where it starts, leaves a file in the temporary folder and an identifier in the home folder.
test("loading the runtime writes nothing and reports to nobody", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "diptych-"));
  const { ORT_DISABLE_TELEMETRY: _, CI: __, ...env } = process.env;
  const room = path.resolve("src/runtime/node.ts");
  const script = `import { nodeRuntime } from ${JSON.stringify(room)};
    nodeRuntime();
    console.log(process.env.ORT_DISABLE_TELEMETRY);`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "--eval", script],
    { env: { ...env, HOME: folder, TMPDIR: folder, TSX_DISABLE_CACHE: "1" } },
  );
  expect(stdout.trim()).toBe("1");
  expect(await readdir(folder)).toEqual([]);
  await rm(folder, { recursive: true });
});
