/**
 * @file Files and folders on disk: read by range, and replaced as a whole.
 * What is written lies beside its place, is forced to the disk, and only then takes the old one's name: whatever interrupts
 * a save (a full disk, a kill, a power cut), the old file or folder is still there.
 */
import { randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { DiptychError } from "../errors.js";
import { parseSafetensors, type SafetensorsOptions, type StoredTensors, safetensorsBytes } from "./safetensors.js";
import type { ByteSource } from "./source.js";
import { type NamedTensor, readTensor } from "./storage.js";

/** Opens the files, runs `use` on them and closes them. @throws DiptychError `CannotRead`. */
export async function withFiles<T>(files: readonly string[], use: (sources: ByteSource[]) => Promise<T>): Promise<T> {
  const handles: FileHandle[] = [];
  try {
    const sources: ByteSource[] = [];
    for (const file of files) {
      const handle = await open(file).catch((cause: Error) => {
        throw new DiptychError("CannotRead", `${file} cannot be read: ${cause.message}.`, "Check the path.", { cause });
      });
      handles.push(handle);
      const status = await handle.stat();
      if (status.isDirectory()) throw new DiptychError("CannotRead", `${file} is a folder.`, "Name a file.");
      const { size } = status;
      sources.push({ name: file, size, read: (position, into) => readFully(handle, file, position, into) });
    }
    return await use(sources);
  } finally {
    for (const handle of handles) await handle.close();
  }
}

async function readFully(handle: FileHandle, file: string, position: number, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.length; ) {
    // Linux reads at most 2 GiB at a time
    const { bytesRead } = await handle.read(into, done, Math.min(into.length - done, 1 << 30), position + done);
    if (bytesRead === 0) {
      throw new DiptychError("TruncatedFile", `${file} ended while it was read.`, "Do not write to it meanwhile.");
    }
    done += bytesRead;
  }
}

/** All tensors of a safetensors file, as float32. */
export function readSafetensors(
  file: string,
): Promise<{ tensors: NamedTensor[]; metadata: StoredTensors["metadata"] }> {
  return withFiles([file], async ([source]) => {
    const { tensors, metadata } = await parseSafetensors(source!);
    const read: NamedTensor[] = [];
    for (const tensor of tensors) read.push(await readTensor(tensor));
    return { tensors: read, metadata };
  });
}

export function writeSafetensors(file: string, tensors: readonly NamedTensor[], options?: SafetensorsOptions) {
  return replaceFile(file, safetensorsBytes(tensors, options));
}

/** Writes a file as a whole or not at all. @throws DiptychError `CannotWrite`; the old file is then untouched. */
export async function replaceFile(file: string, pieces: Iterable<Uint8Array> | string): Promise<void> {
  const beside = `${file}.tmp-${randomUUID()}`;
  try {
    await writeThrough(beside, pieces);
    await rename(beside, file);
    await sync(path.dirname(file));
  } catch (cause) {
    await rm(beside, { force: true });
    throw cannotWrite(file, cause);
  }
}

/** Writes a new file and forces it to the disk. */
export async function writeThrough(file: string, pieces: Iterable<Uint8Array> | string): Promise<void> {
  const handle = await open(file, "wx");
  try {
    for (const piece of typeof pieces === "string" ? [new TextEncoder().encode(pieces)] : pieces) {
      for (let done = 0; done < piece.length; ) done += (await handle.write(piece, done)).bytesWritten;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Replaces a folder by one that `write` fills. Files of the old folder that are not `ours` (a README, logs) move along.
 * A folder cannot take the place of another in one step, so the old one is called `FOLDER.old` for a moment;
 * `settledFolder` finds it there if just this moment was interrupted.
 */
export async function replaceFolder(
  folder: string,
  ours: ReadonlySet<string>,
  write: (beside: string) => Promise<void>,
): Promise<void> {
  const target = await realpath(folder).catch(() => path.resolve(folder));
  if ((await exists(target)) && !(await stat(target)).isDirectory()) {
    throw new DiptychError("CannotWrite", `${folder} is a file.`, "Name a folder to save in.");
  }
  const beside = `${target}.tmp-${randomUUID()}`;
  const old = oldName(target);
  try {
    await mkdir(beside, { recursive: true });
    await write(beside);
    const inside = await readdir(beside, { recursive: true, withFileTypes: true });
    for (const place of new Set([beside, ...inside.map(({ parentPath }) => parentPath)])) await sync(place);
    await settle(target, ours);
    if (await exists(target)) await rename(target, old);
    await rename(beside, target);
    await sync(path.dirname(target));
    await settle(target, ours);
  } catch (cause) {
    if (!(await exists(target)) && (await exists(old))) await rename(old, target);
    await rm(beside, { recursive: true, force: true });
    throw cannotWrite(folder, cause);
  }
}

/** Takes what is not ours out of `FOLDER.old` and removes it, once the folder itself stands. */
async function settle(target: string, ours: ReadonlySet<string>): Promise<void> {
  const old = oldName(target);
  if (!(await exists(target)) || !(await exists(old))) return;
  for (const name of await readdir(old)) {
    const place = path.join(target, name);
    if (!ours.has(name) && !(await exists(place))) await rename(path.join(old, name), place);
  }
  await rm(old, { recursive: true });
}

/** The folder, or `FOLDER.old` where a save was interrupted between its two last steps. */
export async function settledFolder(folder: string): Promise<string> {
  const old = oldName(path.resolve(folder));
  return !(await exists(folder)) && (await exists(old)) ? old : folder;
}

const oldName = (target: string): string => `${target}.old`;

export const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );

/** Forces a folder's entries to the disk, where the system can (Windows cannot). */
async function sync(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder);
  await handle.sync().finally(() => handle.close());
}

function cannotWrite(target: string, cause: unknown): unknown {
  if (!(cause instanceof Error && "code" in cause) || cause instanceof DiptychError) return cause;
  return new DiptychError(
    "CannotWrite",
    `${target} could not be written: ${cause.message}.`,
    "What was there before is untouched; free space or check permissions, and save again.",
    { cause },
  );
}
