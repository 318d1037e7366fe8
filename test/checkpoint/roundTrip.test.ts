/**
 * @file Any file that is read → any format that is written → the same numbers, config and preprocessing, or a refusal
 * that names what the format cannot say. What ONNX's towers give is in `onnx.test.ts`, open_clip's variants in `variants.test.ts`.
 */
import { createHash } from "node:crypto";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Checkpoint, type FolderFormat, loadCheckpoint, saveCheckpoint } from "../../src/checkpoint/node.js";
import { hasShared, shared } from "../goldens.js";
import { tinyCheckpoint } from "../tasks/tiny.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-round-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Of all names, shapes and numbers: comparing digests is a hundred times faster than comparing arrays. */
function digest({ parameters }: Checkpoint): string {
  const hash = createHash("sha256");
  for (const [name, { data, shape }] of parameters) {
    hash.update(`${name} ${shape}\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

const formats: readonly FolderFormat[] = ["diptych", "huggingFace", "openClip"];

/** By format, part of the reason why it cannot hold a model. */
type Refusals = Readonly<Partial<Record<FolderFormat, string>>>;

async function expectSame(
  original: Checkpoint,
  name: string,
  dtypes: readonly ("F32" | "F16" | "BF16")[] = ["F32"],
  refused: Refusals = {},
) {
  for (const format of formats) {
    for (const dtype of dtypes) {
      const place = path.join(folder, `${name}-${format}-${dtype}`);
      const saving = saveCheckpoint(place, original, { format, dtype });
      const reason = refused[format];
      if (reason !== undefined) {
        await expect(saving).rejects.toMatchObject({ code: "CannotExpress", problem: expect.stringContaining(reason) });
        continue;
      }
      await saving;
      const read = await loadCheckpoint(place);
      expect(digest(read), `${format} ${dtype}`).toBe(digest(original));
      expect(read.config).toEqual(original.config);
      // Which library's rounding a crop follows is said by the format, in all but Diptych's own.
      const { convention } = read.preprocess;
      expect(read.preprocess).toEqual({ ...original.preprocess, convention });
      if (format === "diptych") expect(convention).toBe(original.preprocess.convention);
    }
  }
}

test("random weights go through every format", async () => {
  await expectSame(tinyCheckpoint(), "tiny");
});

describe.skipIf(!hasShared)("the references' files go through every format", () => {
  const golden = (file: string) => loadCheckpoint(shared(`goldens/models/${file}`));

  test.each([
    "vit/vit.openclip.safetensors",
    "vit/vit.hf",
    "vit/vit.hf-sharded",
    "vit/vit.openai.pt",
    "vit-full.hf",
    "vit-gelu/vit-gelu.openclip.bf16.safetensors",
    "vit-gelu/vit-gelu.openclip.fp16.safetensors",
    "vit-gelu/vit-gelu.openclip.checkpoint.pt",
    "vit-gelu/vit-gelu.openclip.plain-fp16.pt",
    "vit-gelu/vit-gelu.openclip.legacy-bf16.pt",
    "vit-gelu/vit-gelu.hf",
  ])("%s", async (file) => {
    await expectSame(await golden(file), path.basename(file));
  });

  test.each(["resnet/resnet.openclip.safetensors", "resnet/resnet.openai.pt"])("%s", async (file) => {
    const refused = { huggingFace: "Hugging Face's CLIP has no ResNet" };
    await expectSame(await golden(file), path.basename(file), ["F32"], refused);
  });

  test("SigLIP from Hugging Face's folder and from open_clip's file, which names its sizes only", async () => {
    const refused = { openClip: "open_clip knows SigLIP's picture tower in timm's sizes, and none is 32 wide" };
    const bare = path.join(folder, "siglip.safetensors");
    await copyFile(shared("goldens/models/siglip/siglip.openclip.safetensors"), bare);
    const given = { heads: { image: 2, text: 2 }, activation: "gelu_tanh" } as const;
    const fromTimm = await loadCheckpoint(bare, given);
    const fromFolder = await golden("siglip/siglip.hf");
    expect(digest(fromTimm)).toBe(digest(fromFolder));
    await expectSame(fromFolder, "siglip", ["F32"], refused);
    await expectSame({ ...fromTimm, config: fromFolder.config }, "siglip-timm", ["F32"], refused);
  });

  test("in half precision too, whose numbers theirs are", async () => {
    await expectSame(await golden("vit-gelu/vit-gelu.openclip.safetensors"), "halves", ["F16", "BF16"]);
  });
});
