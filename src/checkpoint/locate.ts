/** @file Which files make up the checkpoint that a path names: a folder, a weights file, or the index of a sharded one. */
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { DiptychError } from "../errors.js";
import { newestCheckpoint } from "./generations.js";
import { checkJson, parseJson } from "./json.js";

export interface Located {
  readonly folder: string;
  /** Paths of the weights: one, or the shards. */
  readonly weights: readonly string[];
}

/** Where the references put weights, best first: a format that needs no unpickling before one that does. */
const openClipNames = ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"];
const usualNames = ["model.safetensors", "model.safetensors.index.json", ...openClipNames, "pytorch_model.bin"];

/** Which of a folder's files are its weights by their usual name. */
export function usualWeights(names: readonly string[], prefersOpenClip = false): string | undefined {
  return [...(prefersOpenClip ? openClipNames : []), ...usualNames].find((name) => names.includes(name));
}

/** @throws DiptychError `CannotRead`, `NoWeights`. */
export async function locate(given: string): Promise<Located> {
  const place = await newestCheckpoint(given);
  const status = await stat(place).catch((cause: Error) => {
    const remedy = "Check the path; a published model is named like openai/clip-vit-base-patch32 or ViT-B/32.";
    throw new DiptychError("CannotRead", `${given} cannot be read: ${cause.message}.`, remedy, { cause });
  });
  if (!status.isDirectory()) return shards(path.dirname(place), path.basename(place));
  const names = await readdir(place);
  const usual = usualWeights(names);
  if (usual) return shards(place, usual);
  const candidates = [/\.safetensors$/, /\.(pt|pth|bin)$/].map((ending) => names.filter((name) => ending.test(name)));
  const [only, ...others] = candidates.find((list) => list.length > 0) ?? [];
  if (only && others.length === 0) return shards(place, only);
  const programs = names.includes("onnx") ? " ONNX files are written for other programs, not read." : "";
  const found = only
    ? `${[only, ...others].join(", ")}: which is meant?`
    : `no .safetensors, .pt or .bin file.${programs}`;
  throw new DiptychError("NoWeights", `The folder ${given} holds ${found}`, "Give the path of the weights file.");
}

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

async function shards(folder: string, name: string): Promise<Located> {
  const file = path.join(folder, name);
  if (!name.endsWith(".index.json")) return { folder, weights: [file] };
  const index = checkJson(indexSchema, parseJson(await readFile(file, "utf8"), file), file);
  const names = [...new Set(Object.values(index.weight_map))].sort();
  const outside = names.find((shard) => shard !== path.basename(shard) || ["", ".", ".."].includes(shard));
  if (outside !== undefined || names.length === 0) {
    throw new DiptychError(
      "NoWeights",
      `${file} names ${outside === undefined ? "no shards" : `a shard outside its folder: ${outside}`}.`,
      "Fetch the model again from where it is published.",
    );
  }
  return { folder, weights: names.map((shard) => path.join(folder, shard)) };
}
