/**
 * @file The safetensors format: 8 bytes of header length, a JSON header, then the numbers of every tensor without gaps.
 * Follows the checks of the format's own reader (huggingface/safetensors): nothing overlaps, nothing is left over, every
 * size is the product of its shape. Reading gives where the tensors lie; `readTensor` fetches one.
 */
import { z } from "zod";
import { DiptychError } from "../errors.js";
import { checkJson, parseJson } from "./json.js";
import { type ByteSource, readBytes } from "./source.js";
import {
  elementCount,
  isStorageType,
  type NamedTensor,
  narrowToBfloat,
  narrowToHalf,
  type StoredTensor,
  storageTypes,
} from "./storage.js";

export interface StoredTensors {
  readonly tensors: readonly StoredTensor[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** As in the format's own reader: a longer header is an attack. */
const maximalHeader = 100_000_000;

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(count),
  data_offsets: z.tuple([count, count]),
});
const metadataSchema = z.record(z.string(), z.string());

/** Where each tensor lies, in the order of the data. @throws DiptychError `BadSafetensors`, `TruncatedFile`, `BadJson`. */
export async function parseSafetensors(source: ByteSource): Promise<StoredTensors> {
  const bad = (problem: string) =>
    new DiptychError(
      "BadSafetensors",
      `${source.name} ${problem}.`,
      "The file is damaged, or no safetensors file: fetch or copy it again, or give another.",
    );
  const length = Number(new DataView((await readBytes(source, 0, 8)).buffer).getBigUint64(0, true));
  if (length > maximalHeader) throw bad(`claims a header of ${length} bytes, more than any has`);
  const text = new TextDecoder().decode(await readBytes(source, 8, length));
  const where = `The header of ${source.name}`;
  const header = checkJson(z.record(z.string(), z.unknown()), parseJson(text, where), where);

  const start = 8 + length;
  const entries = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, value]) => ({ name, ...checkJson(entrySchema, value, `${where}, tensor ${name}`) }))
    .sort((a, b) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]);
  let end = 0;
  const tensors = entries.map(({ name, dtype, shape, data_offsets: [from, to] }): StoredTensor => {
    if (!isStorageType(dtype)) throw bad(`stores tensor ${name} as ${dtype}, which Diptych does not read`);
    const size = elementCount(shape) * storageTypes[dtype].bytes;
    if (from !== end) throw bad(`has a gap or an overlap before tensor ${name} (byte ${from}, expected ${end})`);
    if (to - from !== size)
      throw bad(`gives tensor ${name} ${to - from} bytes where its shape [${shape}] needs ${size}`);
    end = to;
    return { name, shape, type: dtype, source, position: start + from };
  });
  if (start + end !== source.size) {
    throw bad(`has ${source.size} bytes, and its header describes ${start + end}`);
  }
  const metadata = checkJson(metadataSchema, header.__metadata__ ?? {}, `${where}, __metadata__`);
  return { tensors, metadata };
}

/** Number formats that are written. */
export type WrittenType = "F32" | "F16" | "BF16";

export interface SafetensorsOptions {
  /** Format of every tensor; float32 keeps all digits, the others halve the file. */
  readonly dtype?: WrittenType;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Numbers converted at a time when writing. */
const chunkNumbers = 1 << 20;

/**
 * The bytes of a safetensors file, piece by piece; a piece is valid until the next is taken.
 * @throws DiptychError `DoesNotFit` if a finite number is beyond half precision's range.
 */
export function* safetensorsBytes(
  tensors: readonly NamedTensor[],
  { dtype = "F32", metadata = {} }: SafetensorsOptions = {},
): Generator<Uint8Array> {
  yield headerBytes(tensors, dtype, metadata);
  const scratch = new Uint16Array(dtype === "F32" ? 0 : chunkNumbers);
  for (const { name, data } of tensors) {
    for (let start = 0; start < data.length; start += chunkNumbers) {
      const part = data.subarray(start, start + chunkNumbers);
      if (dtype === "F32") {
        yield new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
        continue;
      }
      if (dtype === "F16") requireHalfRange(name, part);
      (dtype === "F16" ? narrowToHalf : narrowToBfloat)(part, scratch);
      yield new Uint8Array(scratch.buffer, 0, part.length * 2);
    }
  }
}

function headerBytes(
  tensors: readonly NamedTensor[],
  dtype: WrittenType,
  metadata: Record<string, string>,
): Uint8Array {
  const entries: [string, unknown][] = [["__metadata__", { format: "pt", ...metadata }]]; // transformers asks for "pt"
  let end = 0;
  for (const { name, shape, data } of tensors) {
    const begin = end;
    end += data.length * storageTypes[dtype].bytes;
    entries.push([name, { dtype, shape, data_offsets: [begin, end] }]);
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const padded = Math.ceil(json.length / 8) * 8; // so that the numbers are aligned for readers that map the file
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  return bytes;
}

/** 65,520 is the smallest number that rounds to half precision's infinity. */
function requireHalfRange(name: string, numbers: Float32Array): void {
  const large = numbers.find((x) => Math.abs(x) >= 65520 && Number.isFinite(x));
  if (large === undefined) return;
  throw new DiptychError(
    "DoesNotFit",
    `Tensor ${name} holds ${large}, and half precision ends at 65504.`,
    'Save as "BF16" or "F32".',
  );
}
