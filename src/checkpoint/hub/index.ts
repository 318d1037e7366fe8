/** @file Models by the names under which they are published: found in the cache, or downloaded into it. */
import { homedir } from "node:os";
import path from "node:path";
import { DiptychError } from "../../errors.js";
import { exists, settledFolder } from "../files.js";
import { cacheFolder, endpointOfEnvironment, isOfflineByEnvironment, tokenOfEnvironment } from "./cache.js";
import type { Progress } from "./download.js";
import { publishedModel } from "./names.js";
import { fetchArchive } from "./openai.js";
import { fetchRepository } from "./repository.js";

export type { Progress } from "./download.js";

export interface HubOptions {
  /** A branch, a tag or a commit; `main` unless the name says it (`org/name@revision`). */
  readonly revision?: string;
  /** For private models and those that ask to accept terms; else HF_TOKEN, or what `hf auth login` left. */
  readonly token?: string;
  /** Use only what the cache has; else HF_HUB_OFFLINE. */
  readonly offline?: boolean;
  /** Folder of the cache; else HF_HUB_CACHE, `$HF_HOME/hub` or `~/.cache/huggingface/hub`, as in Python. */
  readonly cache?: string;
  /** Address of the hub; else HF_ENDPOINT or Hugging Face's. */
  readonly endpoint?: string;
  /** Called for every piece of a file that is downloaded. */
  readonly onProgress?: (progress: Progress) => void;
  /** Called when the network fails and the cache serves; else a warning of the process. */
  readonly onNotice?: (notice: string) => void;
}

/**
 * A path to read the named model from: a name that exists on disk is its own; that of a published model (a hub repository,
 * an open_clip tag, an OpenAI name) becomes its weights in the cache; any other is returned as it is.
 * @throws DiptychError `NoSuchModel`, `NoSuchRevision`, `AccessDenied`, `WrongHash`, `NoSpace`, `HubUnavailable`, `NotInCache`, …
 */
export async function resolveModel(name: string, options: HubOptions = {}): Promise<string> {
  if (await exists(await settledFolder(name))) return name;
  const model = publishedModel(name, options.revision);
  if (!model) return name;
  const {
    offline = isOfflineByEnvironment(),
    token = await tokenOfEnvironment(),
    cache = cacheFolder(),
    endpoint = endpointOfEnvironment(),
    onProgress = () => {},
    onNotice = (notice) => process.emitWarning(notice),
  } = options;
  if (!/^https?:/.test(endpoint) || !URL.canParse(endpoint)) {
    throw new DiptychError(
      "BadEndpoint",
      `The hub's address ${endpoint} is no URL.`,
      "Correct HF_ENDPOINT or { endpoint }.",
    );
  }
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new DiptychError("BadToken", "The token has characters that no token has.", "Correct HF_TOKEN or { token }.");
  }
  const connection = { endpoint: endpoint.replace(/\/+$/, ""), token };
  const surroundings = { cache, offline, connection, onProgress, onNotice };
  try {
    if (model.kind === "repository") return await fetchRepository(model, surroundings);
    const folder = options.cache === undefined ? path.join(homedir(), ".cache", "clip") : path.join(cache, "clip");
    return await fetchArchive(model, folder, surroundings);
  } catch (cause) {
    if (!(cause instanceof Error && "syscall" in cause)) throw cause;
    throw new DiptychError(
      "CannotWrite",
      `The cache cannot be written: ${cause.message}.`,
      "Free space, check permissions, or name another folder: { cache } or HF_HUB_CACHE.",
      { cause },
    );
  }
}
