/** @file The reference's crops of 72 pictures: every mode and file kind, OpenAI's, open_clip's and transformers' transforms. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { cropPicture, normalise, openaiPreprocess, type PreprocessConfig, toRgb } from "../../src/image/index.js";
import { decodePicture } from "../../src/image/node.js";
import { hasShared, shared } from "../goldens.js";

const folder = (name: string): string => shared(`goldens/preprocess/${name}`);

/** What each transform's name means. Left out: `hf-*-torchvision`, which resizes tensors with another resampler. */
const transforms: Readonly<Record<string, PreprocessConfig>> = {
  "openai-64": openaiPreprocess(64),
  "openai-224": openaiPreprocess(224),
  "openclip-shortest-64": openaiPreprocess(64),
  "openclip-shortest-224": openaiPreprocess(224),
  "openclip-shortest-bilinear-64": { ...openaiPreprocess(64), interpolation: "bilinear" },
  "openclip-squash-64": { ...openaiPreprocess(64), resize: "squash" },
  "openclip-squash-bilinear-64": { ...openaiPreprocess(64), resize: "squash", interpolation: "bilinear" },
  "openclip-longest-64": { ...openaiPreprocess(64), resize: "longest" },
  "openclip-longest-fill127-64": { ...openaiPreprocess(64), resize: "longest", fill: 127 },
  "openclip-shortest-48x80": { ...openaiPreprocess(64), size: [48, 80] },
  "openclip-longest-48x80": { ...openaiPreprocess(64), size: [48, 80], resize: "longest" },
  "openclip-squash-48x80": { ...openaiPreprocess(64), size: [48, 80], resize: "squash" },
  "hf-clip-pil-64": { ...openaiPreprocess(64), convention: "transformers" },
  "hf-siglip-pil-64": { ...openaiPreprocess(64), convention: "transformers", resize: "squash" },
};

const half: [number, number, number] = [0.5, 0.5, 0.5];

const bytesOf = (array: Float32Array): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

interface Manifest {
  readonly pictures: Record<string, { mode: string; rgb_sha256: string; crops: Record<string, string> }>;
}

describe.skipIf(!hasShared)("the reference's preprocessing", () => {
  const manifest: Manifest = hasShared ? JSON.parse(readFileSync(folder("manifest.json"), "utf8")) : { pictures: {} };

  test.for(Object.entries(manifest.pictures))("%s is decoded and cropped bit for bit", async ([name, golden]) => {
    const picture = await decodePicture(folder(`src/${name}`));
    expect(picture.mode).toBe(golden.mode);
    expect(createHash("sha256").update(toRgb(picture)).digest("hex")).toBe(golden.rgb_sha256);
    const differing: string[] = [];
    for (const [transform, config] of Object.entries(transforms)) {
      const file = golden.crops[transform];
      if (file === undefined) continue;
      const expected = toRgb(await decodePicture(folder(file)));
      if (Buffer.compare(cropPicture(picture, config), expected) !== 0) differing.push(transform);
    }
    expect(differing).toEqual([]);
  });

  test("normalised pixels are the reference's bit for bit", async () => {
    const bytes = readFileSync(folder("normalised.safetensors"));
    const headerLength = Number(bytes.readBigUInt64LE(0));
    const header: Record<string, { data_offsets?: [number, number] }> = JSON.parse(
      bytes.toString("utf8", 8, 8 + headerLength),
    );
    const configs: Readonly<Record<string, PreprocessConfig>> = {
      openai: openaiPreprocess(64),
      openclip: openaiPreprocess(64),
      "openclip-inception": { ...openaiPreprocess(64), mean: half, std: half, resize: "squash" },
      "hf-clip-pil": { ...openaiPreprocess(64), convention: "transformers" },
    };
    for (const [name, { data_offsets: offsets }] of Object.entries(header)) {
      const [transform, file] = name.split("/");
      const config = configs[transform!];
      if (!config || !offsets) continue;
      const expected = new Float32Array(
        Uint8Array.from(bytes.subarray(8 + headerLength + offsets[0], 8 + headerLength + offsets[1])).buffer,
      );
      const crop = cropPicture(await decodePicture(folder(`src/${file}`)), config);
      expect(Buffer.compare(bytesOf(normalise([crop], config)), bytesOf(expected))).toBe(0);
    }
  });
});
