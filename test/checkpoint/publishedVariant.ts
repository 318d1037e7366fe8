/** @file The reference's variants of its configs, each as a folder like those that open_clip publishes. */
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { shared } from "../goldens.js";

/** `NAME.json` of a variant, or the index of all. */
export const variantJson = async (name: string) =>
  JSON.parse(await readFile(shared(`goldens/models/variants/${name}.json`), "utf8"));

/** Writes the variant's folder inside `folder`; returns its path. */
export async function publishedVariant(folder: string, name: string): Promise<string> {
  const place = path.join(folder, name);
  await mkdir(place, { recursive: true });
  const { config } = await variantJson(name);
  await writeFile(path.join(place, "open_clip_config.json"), JSON.stringify({ model_cfg: config }));
  await copyFile(
    shared(`goldens/models/variants/${name}.safetensors`),
    path.join(place, "open_clip_model.safetensors"),
  );
  return place;
}
