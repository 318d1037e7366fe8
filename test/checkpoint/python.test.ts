/**
 * @file What Diptych writes, read by Python's own libraries: the same features. Slow, and only where
 * `DIPTYCH_BENCH_PYTHON` names a Python with torch, transformers and open_clip.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { type FolderFormat, loadCheckpoint, saveCheckpoint } from "../../src/checkpoint/node.js";
import { hasShared, shared } from "../goldens.js";

const python = process.env.DIPTYCH_BENCH_PYTHON;

/** Prints the largest difference of each tower's features from the expected ones, as a share of their largest value. */
const readers = {
  huggingFace: `
from transformers import AutoModel
model = AutoModel.from_pretrained(folder).eval()
image = lambda x: model(pixel_values=x, input_ids=ids).image_embeds
text = lambda x: model(pixel_values=pixels, input_ids=x).text_embeds`,
  openClip: `
import open_clip
model, _ = open_clip.create_model_from_pretrained("local-dir:" + folder)
model.eval()
normal = torch.nn.functional.normalize
image = lambda x: normal(model.encode_image(x), dim=-1)
text = lambda x: normal(model.encode_text(x), dim=-1)`,
} as const;

const script = (reader: string) => `
import json, sys
import torch
from safetensors.torch import load_file
folder, inputs, outputs = sys.argv[1:]
given, expected = load_file(inputs), load_file(outputs)
pixels, ids = given["images"], given["tokens"].long()
${reader}
with torch.no_grad():
    found = {"image": image(pixels), "text": text(ids)}
share = lambda a, b: ((a - b).abs().max() / b.abs().max()).item()
print(json.dumps([share(found[k], expected[k + "_features_norm"]) for k in found]))
`;

describe.skipIf(!python || !hasShared || !process.env.DIPTYCH_SLOW)(
  "Python's libraries read what Diptych writes",
  () => {
    const models = shared("goldens/models");

    test.each<[string, string, string, keyof typeof readers & FolderFormat]>([
      ["vit", "vit.openai.pt", "outputs", "huggingFace"],
      ["vit", "vit.openai.pt", "outputs", "openClip"],
      ["vit-gelu", "vit-gelu.openclip.legacy-bf16.pt", "outputs", "huggingFace"],
      ["vit-gelu", "vit-gelu.hf", "outputs", "openClip"],
      ["resnet", "resnet.openai.pt", "eval.outputs", "openClip"],
      ["siglip", "siglip.hf", "outputs.tanh", "huggingFace"],
    ])("%s/%s, %s, as %s", { timeout: 300_000 }, async (model, file, outputs, format) => {
      const folder = await mkdtemp(path.join(tmpdir(), "diptych-python-"));
      await saveCheckpoint(folder, await loadCheckpoint(path.join(models, model, file)), { format });
      const golden = (name: string) => path.join(models, model, `${name}.safetensors`);
      const given = ["-c", script(readers[format]), folder, golden("inputs"), golden(outputs)];
      const { stdout } = await promisify(execFile)(python!, given);
      for (const difference of JSON.parse(stdout.trim().split("\n").at(-1)!)) expect(difference).toBeLessThan(1e-5);
      await rm(folder, { recursive: true });
    });
  },
);
