/**
 * @file What a larger CLIP, the teacher, makes of a source's pictures and captions: unit vectors in float16, in files of
 * 4,096 samples each, so that it runs once, in any number of processes, and goes on where it was stopped.
 * Each vector is kept with the checksum of its picture or the hash of its caption: a source that changed is noticed at the
 * sample that changed. Rows are read from the files when they are needed.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { z } from "zod";
import {
  type NamedTensor,
  parseJson,
  parseSafetensors,
  readTensor,
  type StoredTensor,
  withFiles,
  writeSafetensors,
} from "../checkpoint/node.js";
import { DiptychError } from "../errors.js";
import { type Source, SourceUnavailable } from "./source.js";

/** Samples in a file. */
export const samplesPerPiece = 4096;

/** What a file holds, W numbers a vector. */
export interface TaughtPiece {
  /** `[N, W]` */
  readonly images: NamedTensor;
  /** Of each picture's file; null where it could not be read. */
  readonly checksums: readonly (number | null)[];
  /** `[M, W]` */
  readonly texts: NamedTensor;
  readonly captions: readonly string[];
}

/** One picture and one of its captions, `[W]` each. */
export interface TaughtPair {
  readonly image: Float32Array;
  readonly text: Float32Array;
}

const metadataSchema = z.object({
  checksums: z.array(z.number().nullable()),
  /** As hashes. */
  captions: z.array(z.string()),
});

const hashOf = (caption: string): string => createHash("sha256").update(caption).digest("hex").slice(0, 16);

export const writeTaught = (file: string, { images, checksums, texts, captions }: TaughtPiece): Promise<void> =>
  writeSafetensors(file, [images, texts], {
    dtype: "F16",
    metadata: { checksums: JSON.stringify(checksums), captions: JSON.stringify(captions.map(hashOf)) },
  });

/** The source with a teacher's view of every sample. @param files of `writeTaught`, for 4,096 samples each, in order */
export async function withTeacher(source: Source, files: readonly string[]): Promise<Source> {
  const pieces = await Promise.all(files.map(openPiece));
  return {
    ...source,
    read: async (index) => {
      const sample = await source.read(index);
      const piece = pieces[Math.floor(index / samplesPerPiece)]!;
      const teacher = (caption: string) => piece(index % samplesPerPiece, { ...sample, caption });
      return { ...sample, teacher };
    },
  };
}

type Piece = (row: number, of: { key: string; image: Uint8Array; caption: string }) => Promise<TaughtPair>;

async function openPiece(file: string): Promise<Piece> {
  const { tensors, metadata } = await withFiles([file], ([bytes]) => parseSafetensors(bytes!));
  const { checksums, captions } = metadataSchema.parse({
    checksums: parseJson(metadata.checksums ?? "[]", file),
    captions: parseJson(metadata.captions ?? "[]", file),
  });
  const rowOfCaption = new Map(captions.map((hash, row) => [hash, row]));
  const [images, texts] = ["images", "texts"].map((name) => tensors.find((tensor) => tensor.name === name));
  return (row, { key, image, caption }) => {
    const checksum = checksums[row];
    if (checksum === null) {
      throw new DiptychError("Untaught", `The teacher could not read ${key}.`, "Repair it, or leave it out.");
    }
    const textRow = rowOfCaption.get(hashOf(caption));
    if (!images || !texts || checksum !== crc32(image) || textRow === undefined) {
      const problem = `${file} holds what the teacher made of another picture or caption than that of ${key}.`;
      throw new SourceUnavailable(problem, "Remove the file: the teacher then runs again on its samples.");
    }
    return withFiles([file], async ([source]) => ({
      image: (await readTensor({ ...rowOf(images, row), source: source! })).data,
      text: (await readTensor({ ...rowOf(texts, textRow), source: source! })).data,
    }));
  };
}

const bytesOfHalf = 2;

function rowOf(tensor: StoredTensor, row: number): StoredTensor {
  const width = tensor.shape[1]!;
  return { ...tensor, shape: [width], position: tensor.position + row * width * bytesOfHalf };
}
