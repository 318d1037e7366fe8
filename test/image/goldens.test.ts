/** @file The reference's crops of 72 pictures: every mode and file kind, OpenAI's, open_clip's and transformers' transforms. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readSafetensors } from "../../src/checkpoint/node.js";
import { cropPicture, normalise, openaiPreprocess, type PreprocessConfig, toRgb } from "../../src/image/index.js";
import { decodePicture } from "../../src/image/node.js";
import { hasShared, shared } from "../goldens.js";

const folder = (name: string): string => shared(`goldens/preprocess/${name}`);

/** What each transform's name means. */
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
  "hf-clip-torchvision-64": { ...openaiPreprocess(64), convention: "transformers-fast" },
  "hf-siglip-torchvision-64": { ...openaiPreprocess(64), convention: "transformers-fast", resize: "squash" },
};

const half: [number, number, number] = [0.5, 0.5, 0.5];

const bytesOf = (array: Float32Array): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

interface Manifest {
  readonly pictures: Record<string, { mode: string; rgb_sha256: string; crops: Record<string, string> }>;
}

describe.skipIf(!hasShared)("the reference's preprocessing", () => {
  const manifest: Manifest = hasShared ? JSON.parse(readFileSync(folder("manifest.json"), "utf8")) : { pictures: {} };

  test.for(Object.entries(manifest.pictures))("%s is decoded and cropped bit for bit", async ([name, expected]) => {
    const picture = await decodePicture(folder(`src/${name}`));
    expect(picture.mode).toBe(expected.mode);
    expect(createHash("sha256").update(toRgb(picture)).digest("hex")).toBe(expected.rgb_sha256);
    const differing: string[] = [];
    for (const [transform, file] of Object.entries(expected.crops)) {
      const config = transforms[transform]!;
      const crop = toRgb(await decodePicture(folder(file)));
      if (Buffer.compare(cropPicture(picture, config), crop) !== 0) differing.push(transform);
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

  test("OpenAI's own preprocessing of a photograph: nearly every pixel exactly, none more than a level off", async () => {
    const { tensors } = await readSafetensors(shared("oracles/portrait.safetensors"));
    const { data } = tensors.find(({ name }) => name === "pixels")!;
    const config = openaiPreprocess(224);
    const ours = normalise([cropPicture(await decodePicture(shared("oracles/portrait.jpg")), config)], config);
    const channel = 224 * 224;
    const levels = ours.map((value, i) => Math.abs(value - data[i]!) * config.std[Math.trunc(i / channel)]! * 255);
    expect(levels.filter((off) => off > 1.01)).toHaveLength(0);
    expect(levels.filter((off) => off > 0.01).length).toBeLessThan(0.01 * levels.length);
  });
});
