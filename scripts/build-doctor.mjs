/**
 * Writes `assets/doctor.json`: what the Python references make of the inputs in `src/cli/doctorInputs.ts`.
 * Run `npm run build` first, then: node scripts/build-doctor.mjs PYTHON, where PYTHON has open_clip_torch, Pillow and ftfy.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { writeSafetensors } from "../dist/checkpoint/node.js";
import { crops, doctorModels, drawPicture, texts } from "../dist/cli/doctorInputs.js";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), "diptych-doctor-"));
const pictures = crops.map(({ mode, config }, i) => {
  const { width, height, data } = drawPicture(mode);
  writeFileSync(path.join(folder, `${i}.raw`), data);
  return { mode, width, height, config };
});
mkdirSync(path.join(folder, "models"));
const models = [];
for (const [i, { name, checkpoint, pixels, ids }] of doctorModels().entries()) {
  const tensors = [...checkpoint.parameters].map(([name, { data, shape }]) => ({ name, data, shape }));
  await writeSafetensors(path.join(folder, `models/${i}.safetensors`), tensors);
  models.push({
    name,
    config: checkpoint.config,
    pixels: [...pixels.data],
    ids: [...ids.data],
  });
}
const { data, width, height } = drawPicture("RGB", 16, 12);
const file = { width, height, rgb: [...data] };
writeFileSync(path.join(folder, "inputs.json"), JSON.stringify({ texts, pictures, models, file }));
execFileSync(process.argv[2] ?? "python3", [here("doctor-reference.py"), folder, here("../assets/doctor.json")], {
  stdio: "inherit",
});
rmSync(folder, { recursive: true });
