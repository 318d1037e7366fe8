/** @file Runs a teacher, a larger CLIP, over a source: once for each sample, before the run that learns from it. */
import { createHash } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import path from "node:path";
import { crc32 } from "node:zlib";
import { z } from "zod";
import { type Source, samplesPerPiece, withTeacher, writeTaught } from "../data/index.js";
import { DiptychError } from "../errors.js";
import type { PicturePool } from "../image/node.js";
import type { Runtime } from "../runtime/index.js";
import { type Clip, createClip, type Matrix } from "../tasks/index.js";
import { poolPictures } from "./poolPictures.js";
import type { Ranks } from "./ranks.js";
import { checkpointState, type StartingState } from "./start.js";

export const teacherSchema = z.strictObject({
  /** A checkpoint: a path from the recipe's folder, or a published model's name. */
  model: z.string(),
  /** The folder that its embeddings are kept in, from the recipe's; another run with the same teacher and data takes them. */
  folder: z.string().default("teacher"),
});

interface Surroundings {
  /** Folder that relative paths start from. */
  readonly base: string;
  readonly runtime: Runtime;
  readonly pool: PicturePool;
  /** They share the work. */
  readonly ranks: Ranks;
  /** Told when the teacher begins, and after each file of embeddings. */
  readonly onProgress?: ((progress: string) => void) | undefined;
}

/** A function that gives a source the teacher's embeddings, and makes those that are missing. */
export async function teach(
  { model, folder }: z.infer<typeof teacherSchema>,
  surroundings: Surroundings,
): Promise<(source: Source) => Promise<Source>> {
  const { base, runtime, pool, ranks, onProgress } = surroundings;
  const teacher = await checkpointState(model, base);
  const identity = identityOf(teacher);

  return async (source) => {
    const taught = path.join(path.resolve(base, folder), hashOf([identity, source.name, source.length]).slice(0, 16));
    await mkdir(taught, { recursive: true });
    const files = Array.from({ length: Math.ceil(source.length / samplesPerPiece) }, (_, piece) =>
      path.join(taught, `${String(piece).padStart(6, "0")}.safetensors`),
    );
    const there = new Set(await readdir(taught));
    const mine = [...files.entries()].filter(
      ([piece, file]) => !there.has(path.basename(file)) && piece % ranks.size === ranks.rank,
    );
    if (mine.length > 0) {
      onProgress?.(`${model} embeds ${source.name}: ${mine.length} of ${files.length} files`);
      const clip = createClip({ ...teacher, origin: "" }, runtime, poolPictures(pool));
      try {
        for (const [piece, file] of mine) {
          await embedPiece(clip, source, piece * samplesPerPiece, file);
          onProgress?.(`written: ${file}`);
        }
      } finally {
        await clip.dispose();
      }
    }
    await ranks.barrier();
    return withTeacher(source, files);
  };
}

/** The same for the same weights, wherever they lie. */
function identityOf({ config, preprocess, parameters }: StartingState): string {
  const hash = createHash("sha256").update(JSON.stringify([config, preprocess]));
  for (const [name, { data }] of parameters) {
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

const hashOf = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex");

/** Pictures whose files are in memory at once. */
const picturesAtATime = 256;

async function embedPiece(clip: Clip, source: Source, first: number, file: string): Promise<void> {
  const end = Math.min(first + samplesPerPiece, source.length);
  const width = clip.config.embedSize;
  const images: Matrix = { data: new Float32Array((end - first) * width), shape: [end - first, width] };
  const checksums: (number | null)[] = [];
  const captions = new Set<string>();
  for (let start = first; start < end; start += picturesAtATime) {
    const indices = Array.from({ length: Math.min(picturesAtATime, end - start) }, (_, i) => start + i);
    const samples = await Promise.all(indices.map((index) => source.read(index).catch(unlessUnreadable)));
    const pictures = samples.map((sample) => sample?.image ?? new Uint8Array());
    const unread = new Set<number>();
    const embedded = await clip.embedImages(pictures, { onUnreadable: (_, i) => unread.add(i) });
    images.data.set(embedded.data, (start - first) * width);
    for (const [i, sample] of samples.entries()) {
      checksums.push(sample && !unread.has(i) ? crc32(sample.image) : null);
      for (const caption of sample?.captions ?? []) captions.add(caption);
    }
  }
  const texts = await clip.embedTexts([...captions], { truncate: true });
  await writeTaught(file, {
    images: { name: "images", ...images },
    checksums,
    texts: { name: "texts", ...texts },
    captions: [...captions],
  });
}

/** Training tells of what cannot be read. */
function unlessUnreadable(error: unknown): null {
  if (error instanceof DiptychError && error.code !== "SourceUnavailable") return null;
  throw error;
}
