/**
 * @file The cache that Python's `huggingface_hub` and Diptych share, each finding what the other has downloaded:
 *
 *     models--ORG--NAME/refs/REVISION            text: the commit that it was
 *     models--ORG--NAME/blobs/HASH               contents
 *     models--ORG--NAME/snapshots/COMMIT/FILE    a relative link to its blob
 *
 * Leaves out: `.no_exist` (remembered absences) and `.locks`, which other programs may keep here.
 */
import { randomUUID } from "node:crypto";
import { copyFile, link, mkdir, readdir, readFile, rename, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { exists, replaceFile } from "../files.js";

const environment = (...names: string[]): string | undefined =>
  names.map((name) => process.env[name]).find((value) => value !== undefined && value !== "");

const home = (): string =>
  environment("HF_HOME") ?? path.join(environment("XDG_CACHE_HOME") ?? path.join(homedir(), ".cache"), "huggingface");

export const cacheFolder = (): string =>
  environment("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") ?? path.join(home(), "hub");

export const endpointOfEnvironment = (): string => environment("HF_ENDPOINT") ?? "https://huggingface.co";

export const isOfflineByEnvironment = (): boolean => /^(1|on|yes|true)$/i.test(environment("HF_HUB_OFFLINE") ?? "");

/** The token of the environment, or what `hf auth login` has left. */
export async function tokenOfEnvironment(): Promise<string | undefined> {
  const given = environment("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN");
  const file = environment("HF_TOKEN_PATH") ?? path.join(home(), "token");
  return (given ?? (await readFile(file, "utf8").catch(() => ""))).trim() || undefined;
}

export const repositoryFolder = (cache: string, repository: string): string =>
  path.join(cache, `models--${repository.replace("/", "--")}`);

export const blobPath = (folder: string, hash: string): string => path.join(folder, "blobs", hash);

export const snapshotFolder = (folder: string, commit: string): string => path.join(folder, "snapshots", commit);

/** Names of the files of a revision that are here; none where it has never been. */
export async function cachedSnapshot(folder: string, revision: string): Promise<{ snapshot: string; names: string[] }> {
  const isCommit = /^[0-9a-f]{40}$/.test(revision);
  const commit = isCommit ? revision : await readFile(path.join(folder, "refs", revision), "utf8").catch(() => "none");
  const snapshot = snapshotFolder(folder, commit.trim());
  return { snapshot, names: await readdir(snapshot).catch(() => []) };
}

/** Remembers which commit a branch or tag was when it was last seen complete. */
export async function rememberCommit(folder: string, revision: string, commit: string): Promise<void> {
  if (revision === commit) return;
  const file = path.join(folder, "refs", revision);
  if ((await readFile(file, "utf8").catch(() => "")).trim() === commit) return;
  await mkdir(path.dirname(file), { recursive: true });
  await replaceFile(file, commit);
}

/** Lets a file of a snapshot lead to its blob, in one step for whoever looks. */
export async function linkToBlob(file: string, blob: string): Promise<void> {
  if (await exists(file)) return;
  await mkdir(path.dirname(file), { recursive: true });
  const beside = `${file}.tmp-${randomUUID()}`;
  // Windows asks for rights to make symbolic links, and some file systems know no links at all.
  await symlink(path.relative(path.dirname(file), blob), beside)
    .catch(() => link(blob, beside))
    .catch(() => copyFile(blob, beside));
  await rename(beside, file);
}
