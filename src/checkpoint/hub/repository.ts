/** @file A model's repository on the hub: what it holds, which files of it a CLIP needs, and those in the cache. */
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { DiptychError } from "../../errors.js";
import { exists } from "../files.js";
import { locate, usualWeights } from "../locate.js";
import { blobPath, cachedSnapshot, linkToBlob, rememberCommit, repositoryFolder, snapshotFolder } from "./cache.js";
import { download, type Progress, type RemoteFile } from "./download.js";
import { type Connection, patience, persist, request, Unavailable } from "./http.js";
import type { HubRepository } from "./names.js";

/** Whatever `describe.ts` and `tokenizerFiles.ts` look for beside the weights. */
const companions = new Set([
  "config.json",
  "open_clip_config.json",
  "preprocessor_config.json",
  "processor_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "vocab.json",
  "merges.txt",
]);

export interface Surroundings {
  readonly cache: string;
  readonly offline: boolean;
  readonly connection: Connection;
  readonly onProgress: (progress: Progress) => void;
  readonly onNotice: (notice: string) => void;
}

/** The path of the weights in the cache, their companions beside them; downloaded where the cache lacks them. */
export async function fetchRepository(model: HubRepository, surroundings: Surroundings): Promise<string> {
  const { host } = new URL(surroundings.connection.endpoint);
  if (surroundings.offline) {
    const cached = await cachedWeights(model, surroundings);
    if (cached) return cached;
    throw new DiptychError(
      "NotInCache",
      `${title(model)} is not in the cache ${surroundings.cache}, and Diptych is offline.`,
      "Load it once with a network, or unset HF_HUB_OFFLINE.",
    );
  }
  try {
    return await fetchLatest(model, surroundings);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    const cached = await cachedWeights(model, surroundings);
    if (!cached) {
      throw new DiptychError(
        "HubUnavailable",
        `${title(model)} is neither a path nor in the cache, and ${host} does not give it: ${error.message}.`,
        "Check the name and the network; what has been downloaded is kept for the next try.",
        { cause: error },
      );
    }
    const commit = path.basename(path.dirname(cached)).slice(0, 8);
    surroundings.onNotice(`${error.message}; using ${title(model)} from the cache, as it was at commit ${commit}.`);
    return cached;
  }
}

const title = ({ repository, revision }: HubRepository): string =>
  revision === "main" ? repository : `${repository} at ${revision}`;

async function cachedWeights(model: HubRepository, { cache }: Surroundings): Promise<string | null> {
  const { snapshot, names } = await cachedSnapshot(repositoryFolder(cache, model.repository), model.revision);
  const name = usualWeights(names, model.prefersOpenClip);
  if (!name) return null;
  const { weights } = await locate(path.join(snapshot, name));
  const present = await Promise.all(weights.map(exists));
  return present.every(Boolean) ? path.join(snapshot, name) : null;
}

async function fetchLatest(model: HubRepository, surroundings: Surroundings): Promise<string> {
  const { connection, cache } = surroundings;
  const { commit, files } = await persist(() => listing(model, connection), 2);
  const weights = usualWeights([...files.keys()], model.prefersOpenClip);
  if (!weights) {
    throw new DiptychError(
      "NoWeights",
      `${title(model)} holds no weights that Diptych can read, only ${[...files.keys()].join(", ") || "nothing"}.`,
      "Name another repository, or download a file of weights and give its path.",
    );
  }
  const folder = repositoryFolder(cache, model.repository);
  const snapshot = snapshotFolder(folder, commit);
  const fetchFile = async (name: string): Promise<void> => {
    const file = files.get(name);
    if (!file) {
      throw new DiptychError("NoWeights", `${title(model)} lacks ${name}.`, "Tell its authors, or name another.");
    }
    const blob = blobPath(folder, file.hash);
    if (await exists(path.join(snapshot, name))) return;
    await mkdir(path.dirname(blob), { recursive: true });
    if (!(await exists(blob))) await download(file, blob, connection, surroundings.onProgress);
    await linkToBlob(path.join(snapshot, name), blob);
  };
  for (const name of [...files.keys()].filter((name) => companions.has(name))) await fetchFile(name);
  await fetchFile(weights);
  const shards = (await locate(path.join(snapshot, weights))).weights.map((file) => path.basename(file));
  for (const shard of shards) await fetchFile(shard);
  // Last: a revision that the cache knows is whole.
  await rememberCommit(folder, model.revision, commit);
  return path.join(snapshot, weights);
}

/** The commit that a revision is now, and its files outside of folders. */
async function listing(model: HubRepository, connection: Connection) {
  const { listFiles, modelInfo } = await import("@huggingface/hub");
  const { repository, revision } = model;
  const hub = {
    hubUrl: connection.endpoint,
    fetch: (url: unknown, init?: RequestInit) =>
      request(title(model), String(url), { ...init, signal: AbortSignal.timeout(patience.answer) }, connection),
  };
  try {
    const { sha: commit } = await modelInfo({ ...hub, name: repository, revision, additionalFields: ["sha"] });
    if (!commitPattern.test(commit)) throw new TypeError(`${commit} is no commit`);
    const files = new Map<string, RemoteFile>();
    for await (const entry of listFiles({ ...hub, repo: { type: "model", name: repository }, revision: commit })) {
      const { path: name, size } = entry;
      const hash = entry.lfs?.oid ?? entry.oid ?? "";
      // Names and hashes become paths in the cache.
      if (entry.type !== "file" || !/^\w[\w.-]*$/.test(name) || !hashPattern.test(hash)) continue;
      const url = `${connection.endpoint}/${repository}/resolve/${commit}/${name}`;
      files.set(name, { name: `${repository}/${name}`, url, size, hash });
    }
    return { commit, files };
  } catch (cause) {
    if (cause instanceof Unavailable || cause instanceof DiptychError) throw cause;
    const { host } = new URL(connection.endpoint);
    throw new Unavailable(`${host} does not answer as a hub does (${(cause as Error).message})`, undefined, { cause });
  }
}

const commitPattern = /^[0-9a-f]{40}$/;
/** Git's SHA-1, or SHA-256 of files that are too large for git. */
const hashPattern = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
