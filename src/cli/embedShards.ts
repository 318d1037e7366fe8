/**
 * @file `diptych embed --shards`: tar shards to files of embeddings, one a shard, by any number of processes that need not
 * know of each other. A shard's file has its name from the moment that it is complete, so who starts again skips it.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { replaceFile, writeSafetensors } from "../checkpoint/node.js";
import { expandBraces, openShardPictures, type ShardPictures } from "../data/index.js";
import { DiptychError } from "../errors.js";
import { type Clip, type Matrix, rows } from "../tasks/index.js";
import { arrayTaskOf, launchOf } from "../train/index.js";
import { type ModelOptions, withClip } from "./options.js";
import { notice } from "./output.js";

export interface ShardOptions {
  /** Also the captions, where samples have some. */
  readonly captions?: true;
  readonly shards?: readonly string[];
  readonly rank?: number;
  readonly ranks?: number;
}

/** Pictures whose files are in memory at once. */
const picturesAtATime = 256;

/** Embeds this process's share of the shards that have no file in the folder `out` yet. */
export async function embedShards(
  patterns: readonly string[],
  { out, captions, ...options }: ShardOptions & ModelOptions & { readonly out?: string },
): Promise<void> {
  if (out === undefined) {
    throw new DiptychError("NoFolder", "There is no folder for the embeddings of the shards.", "Name it with --out.");
  }
  const { rank, size } = shareOf(options);
  const shards = outputsOf(patterns.flatMap(expandBraces), out).filter((_, i) => i % size === rank);
  await mkdir(out, { recursive: true });
  await agree(path.join(out, "embeddings.json"), { model: options.model, captions: captions === true });

  const done = new Set(await readdir(out));
  const missing = shards.filter(({ file }) => !done.has(path.basename(file)));
  if (missing.length < shards.length) notice(`${shards.length - missing.length} of ${shards.length} shards are done`);
  if (missing.length === 0) return;
  const failed: string[] = [];
  await withClip(options, async (clip) => {
    for (const { name, file } of missing) {
      try {
        const { pictures, texts } = await embedShard(clip, name, file, captions === true);
        notice(`written: ${file} (${pictures} pictures${captions ? `, ${texts} captions` : ""})`);
      } catch (error) {
        if (!(error instanceof DiptychError)) throw error;
        notice(`failed: ${name}: ${error.problem}`);
        failed.push(name);
      }
    }
  });
  if (failed.length > 0) {
    const problem = `${failed.length} of ${missing.length} shards could not be embedded, the first is ${failed[0]}.`;
    throw new DiptychError(
      "ShardsFailed",
      problem,
      "Repair them and run the same command: those that are done are kept.",
    );
  }
}

function shareOf({ rank, ranks }: Pick<ShardOptions, "rank" | "ranks">): { rank: number; size: number } {
  if (rank === undefined && ranks === undefined) {
    return launchOf(process.env) ?? arrayTaskOf(process.env) ?? { rank: 0, size: 1 };
  }
  if (rank !== undefined && ranks !== undefined && rank < ranks) return { rank, size: ranks };
  throw new DiptychError(
    "NoSuchRank",
    `There is no rank ${rank ?? "?"} of ${ranks ?? "?"}.`,
    "Give --rank 0 --ranks 4, say.",
  );
}

/** A shard and the file for its embeddings: "data/007.tar" → "out/007.safetensors". */
function outputsOf(shards: readonly string[], out: string): { readonly name: string; readonly file: string }[] {
  const outputs = shards.map((name) => ({ name, file: path.join(out, `${path.basename(name, ".tar")}.safetensors`) }));
  const byFile = new Map<string, string>();
  for (const { name, file } of outputs) {
    const other = byFile.get(file);
    if (other !== undefined) {
      const problem = `The embeddings of ${other} and ${name} would both be ${file}.`;
      throw new DiptychError("SameName", problem, "Embed them into two folders.");
    }
    byFile.set(file, name);
  }
  return outputs;
}

/** Writes down what a folder holds, or checks that it is the same. */
async function agree(file: string, job: { readonly model: string; readonly captions: boolean }): Promise<void> {
  const written = await readFile(file, "utf8").catch(() => null);
  if (written === null) return replaceFile(file, `${JSON.stringify(job)}\n`);
  if (isDeepStrictEqual(JSON.parse(written), job)) return;
  const problem = `${path.dirname(file)} holds other embeddings: ${written.trim()}, not ${JSON.stringify(job)}.`;
  throw new DiptychError("OtherEmbeddings", problem, "Give another folder.");
}

/**
 * One shard's file: `images` [N, E] and, with captions, `texts` [M, E]. Its metadata are JSON lists: `images`, the names of
 * the N samples; `texts`, the M captions; `of`, for each caption the row of its picture.
 */
async function embedShard(
  clip: Clip,
  name: string,
  file: string,
  withCaptions: boolean,
): Promise<{ pictures: number; texts: number }> {
  const shard = await openShardPictures(name);
  try {
    for (const problem of shard.problems) notice(`${name}: ${problem}`);
    const { indices, embeddings } = await embedPictures(clip, shard, name);
    const captions: { readonly text: string; readonly of: number }[] = [];
    if (withCaptions) {
      for (const [of, index] of indices.entries()) {
        for (const text of await shard.captions(index)) captions.push({ text, of });
      }
    }
    const texts = captions.map(({ text }) => text);
    const ofTexts = await clip.embedTexts(texts, { truncate: true });
    await writeSafetensors(
      file,
      [{ name: "images", ...embeddings }, ...(withCaptions ? [{ name: "texts", ...ofTexts }] : [])],
      {
        metadata: {
          images: JSON.stringify(indices.map((index) => shard.keys[index])),
          ...(withCaptions && { texts: JSON.stringify(texts), of: JSON.stringify(captions.map(({ of }) => of)) }),
        },
      },
    );
    return { pictures: indices.length, texts: texts.length };
  } finally {
    await shard.close();
  }
}

/** The pictures that can be read: their indices in the shard, and their embeddings [N, E]. The next files are read meanwhile. */
async function embedPictures(
  clip: Clip,
  { keys, picture }: ShardPictures,
  name: string,
): Promise<{ indices: number[]; embeddings: Matrix }> {
  const size = clip.config.embedSize;
  const data = new Float32Array(keys.length * size);
  const indices: number[] = [];
  const read = (start: number) =>
    Promise.allSettled(keys.slice(start, start + picturesAtATime).map((_, i) => picture(start + i)));
  const skip = (index: number, error: unknown): void => {
    if (!(error instanceof DiptychError)) throw error;
    notice(`skipped: ${keys[index]} in ${name}: ${error.problem.replace(/^Picture \d+: /, "")}`);
  };
  let next = read(0);
  for (let start = 0; start < keys.length; start += picturesAtATime) {
    const files = await next;
    next = read(start + picturesAtATime);
    const readable: { readonly index: number; readonly bytes: Uint8Array }[] = [];
    for (const [i, result] of files.entries()) {
      if (result.status === "fulfilled") readable.push({ index: start + i, bytes: result.value });
      else skip(start + i, result.reason);
    }
    const unreadable = new Set<number>();
    const all = await clip.embedImages(
      readable.map(({ bytes }) => bytes),
      {
        onUnreadable: (error, i) => {
          skip(readable[i]?.index ?? 0, error);
          unreadable.add(i);
        },
      },
    );
    const kept = readable.map((_, i) => i).filter((i) => !unreadable.has(i));
    data.set(rows(all, kept).data, indices.length * size);
    for (const i of kept) indices.push(readable[i]?.index ?? 0);
  }
  return { indices, embeddings: { data: data.subarray(0, indices.length * size), shape: [indices.length, size] } };
}
