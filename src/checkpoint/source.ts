/**
 * @file Where the bytes of a checkpoint come from: a file on disk (`files.ts`) or memory, read by range.
 * The parsers know only this, so they run in a browser and a 1.7 GB file is never held twice.
 */
import { DiptychError } from "../errors.js";

export interface ByteSource {
  /** What errors call it: the path. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** Fills `into` with the bytes that start at `position`; the caller has checked that they lie within `size`. */
  read(position: number, into: Uint8Array): Promise<void>;
}

export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    read: async (position, into) => into.set(bytes.subarray(position, position + into.length)),
  };
}

/** The `length` bytes at `position`. @throws DiptychError `TruncatedFile` if the source ends before. */
export async function readBytes(
  source: ByteSource,
  position: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!(position >= 0 && length >= 0 && position + length <= source.size)) {
    throw new DiptychError(
      "TruncatedFile",
      `${source.name} has ${source.size} bytes, and its structure asks for bytes ${position} to ${position + length}.`,
      "The file is cut short or damaged: fetch or copy it again.",
    );
  }
  const bytes = new Uint8Array(length);
  await source.read(position, bytes);
  return bytes;
}
