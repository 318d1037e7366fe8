/**
 * @file Embeddings as files. safetensors: tensors `images` [N, E] and `texts` [M, E], their names as JSON in the metadata.
 * npy (NumPy's format, version 1.0): one float32 matrix, pictures first, then texts. jsonl: a line each.
 */
import path from "node:path";
import { replaceFile, writeSafetensors } from "../checkpoint/node.js";
import { DiptychError } from "../errors.js";
import { type Matrix, row } from "../tasks/index.js";

export interface Embeddings {
  readonly pictures: readonly string[];
  /** [N, E], of the pictures. */
  readonly images: Matrix;
  readonly texts: readonly string[];
  /** [M, E]. */
  readonly ofTexts: Matrix;
}

const writers = {
  ".safetensors": (file: string, { pictures, images, texts, ofTexts }: Embeddings): Promise<void> => {
    const tensors = [
      ...(pictures.length > 0 ? [{ name: "images", ...images }] : []),
      ...(texts.length > 0 ? [{ name: "texts", ...ofTexts }] : []),
    ];
    return writeSafetensors(file, tensors, {
      metadata: { images: JSON.stringify(pictures), texts: JSON.stringify(texts) },
    });
  },
  ".npy": (file: string, { images, ofTexts }: Embeddings): Promise<void> =>
    replaceFile(file, [
      npyHeader(images.shape[0] + ofTexts.shape[0], images.shape[1]),
      ...[images, ofTexts].map(bytesOf),
    ]),
  ".jsonl": (file: string, embeddings: Embeddings): Promise<void> =>
    replaceFile(
      file,
      embeddingLines(embeddings)
        .map((line) => `${JSON.stringify(line)}\n`)
        .join(""),
    ),
} as const;

type Extension = keyof typeof writers;

/** What writes `file`, by its ending. @throws DiptychError `UnknownFormat`. */
export function embeddingWriter(file: string): (embeddings: Embeddings) => Promise<void> {
  const extension = path.extname(file).toLowerCase();
  const known = Object.keys(writers) as Extension[];
  const found = known.find((each) => each === extension);
  if (found) return (embeddings) => writers[found](file, embeddings);
  throw new DiptychError(
    "UnknownFormat",
    `${file} ends in no known format.`,
    `Write to a file ending in ${known.join(", ")}.`,
  );
}

/** One plain object for each embedding, pictures first. */
export function embeddingLines({ pictures, images, texts, ofTexts }: Embeddings): object[] {
  return [
    ...pictures.map((picture, i) => ({ picture, embedding: [...row(images, i)] })),
    ...texts.map((text, j) => ({ text, embedding: [...row(ofTexts, j)] })),
  ];
}

const bytesOf = ({ data }: Matrix): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Magic, version 1.0, the length of a Python literal, the literal, padded so that the data is aligned to 64 bytes. */
function npyHeader(rows: number, columns: number): Uint8Array {
  const literal = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${columns}), }`;
  const length = Math.ceil((10 + literal.length + 1) / 64) * 64 - 10;
  const text = `\x93NUMPY\x01\x00${String.fromCharCode(length & 255, length >> 8)}${literal.padEnd(length - 1)}\n`;
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
