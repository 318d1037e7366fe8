/**
 * @file OpenAI's own archives, in the folder that its Python package uses. That package writes in place, so an archive that
 * lies there may be half of one: its hash is checked each time.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { DiptychError } from "../../errors.js";
import { exists } from "../files.js";
import { download } from "./download.js";
import { patience, persist, request, Unavailable } from "./http.js";
import type { OpenAIArchive } from "./names.js";
import type { Surroundings } from "./repository.js";

/** The path of the archive in `folder`; downloaded where it is missing or damaged. */
export async function fetchArchive(
  { url, sha256 }: Omit<OpenAIArchive, "kind">,
  folder: string,
  { offline, onProgress }: Pick<Surroundings, "offline" | "onProgress">,
): Promise<string> {
  const name = path.posix.basename(url);
  const place = path.join(folder, name);
  if ((await exists(place)) && (await sha256Of(place)) === sha256) return place;
  if (offline) {
    throw new DiptychError(
      "NotInCache",
      `${place} is missing or damaged, and Diptych is offline.`,
      "Unset HF_HUB_OFFLINE.",
    );
  }
  await mkdir(folder, { recursive: true });
  const connection = { endpoint: url, token: undefined };
  try {
    const size = await persist(async () => {
      const signal = AbortSignal.timeout(patience.answer);
      const headers = { "Accept-Encoding": "identity" };
      const answer = await request(name, url, { method: "HEAD", headers, signal }, connection);
      const length = Number(answer.headers.get("Content-Length"));
      if (length > 0) return length;
      throw new Unavailable(`${url} does not tell its size`);
    }, 2);
    await download({ name, url, size, hash: sha256 }, place, connection, onProgress);
  } catch (cause) {
    if (!(cause instanceof Unavailable)) throw cause;
    throw new DiptychError("HubUnavailable", `${cause.message}.`, "Check the network and try again.", { cause });
  }
  return place;
}

async function sha256Of(file: string): Promise<string> {
  const digest = createHash("sha256");
  for await (const bytes of createReadStream(file, { highWaterMark: 1 << 20 })) digest.update(bytes);
  return digest.digest("hex");
}
