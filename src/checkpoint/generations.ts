/**
 * @file The checkpoints of a run: `RUN/checkpoints/step-00000200/`, a folder each. A folder gets such a name in one rename
 * when all of it is on the disk and loses it in one rename before it is removed, so whatever has the name is complete,
 * at any moment and on every system. No pointer says which is the newest: the names do.
 */
import { randomUUID } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { settledFolder } from "./files.js";

const folderOf = (run: string): string => path.join(run, "checkpoints");
const named = /^step-(\d+)$/;

/** Where the checkpoint after `step` steps lies. */
export const generationFolder = (run: string, step: number): string =>
  path.join(folderOf(run), `step-${String(step).padStart(8, "0")}`);

/** The run's complete checkpoints, oldest first. */
export async function generations(run: string): Promise<string[]> {
  const names = await readdir(folderOf(run)).catch(() => []);
  const stepOf = (name: string): number => Number(named.exec(name)?.[1]);
  return names
    .filter((name) => named.test(name))
    .sort((a, b) => stepOf(a) - stepOf(b))
    .map((name) => path.join(folderOf(run), name));
}

/** The newest checkpoint of a run's folder; any other folder is a checkpoint itself. */
export async function newestCheckpoint(given: string): Promise<string> {
  return (await generations(given)).at(-1) ?? (await settledFolder(given));
}

/** Removes all but the newest `keep` checkpoints, and what interrupted saves have left. */
export async function pruneGenerations(run: string, keep: number): Promise<void> {
  for (const old of (await generations(run)).slice(0, -keep)) await rename(old, `${old}.tmp-${randomUUID()}`);
  for (const name of await readdir(folderOf(run)).catch(() => [])) {
    if (name.startsWith("step-") && !named.test(name)) await rm(path.join(folderOf(run), name), { recursive: true });
  }
}
