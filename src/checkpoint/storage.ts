/**
 * @file Number formats of stored tensors, and tensors that lie in a file: everything is widened to float32 when read.
 * Files are little-endian, and so is every machine that Node and browsers support.
 * Leaves out: the 8-bit floats, which no CLIP is published in.
 */
import { DiptychError } from "../errors.js";
import type { ByteSource } from "./source.js";

/** A tensor in memory, row-major. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** A tensor in a file: checked to lie within it, not yet read. */
export interface StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: StorageType;
  readonly source: ByteSource;
  /** First byte in the source. */
  readonly position: number;
  /** Step of each axis in elements, where the tensor is not stored row by row (torch views). */
  readonly strides?: readonly number[];
}

/** Safetensors' names of the number formats. */
export type StorageType = keyof typeof storageTypes;

interface Format {
  readonly bytes: number;
  /** Writes the numbers in `from` (whose offset is a multiple of 8) to `to`. */
  readonly widen: (from: Uint8Array, to: Float32Array) => void;
}

type NumberArray = new (buffer: ArrayBufferLike, offset: number, length: number) => ArrayLike<number | bigint>;

const plain = (bytes: number, View: NumberArray): Format => ({
  bytes,
  widen(from, to) {
    const numbers = new View(from.buffer, from.byteOffset, to.length);
    for (let i = 0; i < to.length; i++) to[i] = Number(numbers[i]);
  },
});

export const storageTypes = {
  F64: plain(8, Float64Array),
  F32: plain(4, Float32Array),
  F16: { bytes: 2, widen: widenHalf },
  BF16: { bytes: 2, widen: widenBfloat },
  I64: plain(8, BigInt64Array),
  I32: plain(4, Int32Array),
  I16: plain(2, Int16Array),
  I8: plain(1, Int8Array),
  U64: plain(8, BigUint64Array),
  U32: plain(4, Uint32Array),
  U16: plain(2, Uint16Array),
  U8: plain(1, Uint8Array),
  BOOL: plain(1, Uint8Array),
} as const satisfies Record<string, Format>;

export const isStorageType = (name: unknown): name is StorageType =>
  typeof name === "string" && Object.hasOwn(storageTypes, name);

export const elementCount = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/**
 * IEEE half: the bits are moved to where float32 keeps them; 2¹¹² makes up for the difference of the exponents' biases,
 * for subnormal numbers too.
 */
function widenHalf(from: Uint8Array, to: Float32Array): void {
  const halves = new Uint16Array(from.buffer, from.byteOffset, to.length);
  const bits = new Uint32Array(to.buffer, to.byteOffset, to.length);
  for (let i = 0; i < to.length; i++) {
    const half = halves[i]!;
    const infinite = (half & 0x7c00) === 0x7c00 ? 0x7f800000 : 0;
    bits[i] = ((half & 0x8000) << 16) | ((half & 0x7fff) << 13) | infinite;
    to[i]! *= 2 ** 112;
  }
}

/** bfloat16 is the upper half of a float32. */
function widenBfloat(from: Uint8Array, to: Float32Array): void {
  const uppers = new Uint16Array(from.buffer, from.byteOffset, to.length);
  const bits = new Uint32Array(to.buffer, to.byteOffset, to.length);
  for (let i = 0; i < to.length; i++) bits[i] = uppers[i]! << 16;
}

/** Rounds to nearest, ties to even. Finite numbers beyond 65,504 become infinite. */
export function narrowToHalf(from: Float32Array, to: Uint16Array): void {
  const bits = new Uint32Array(from.buffer, from.byteOffset, from.length);
  for (let i = 0; i < from.length; i++) {
    const sign = (bits[i]! >>> 16) & 0x8000;
    const magnitude = bits[i]! & 0x7fffffff;
    let half: number;
    if (magnitude > 0x7f800000)
      half = 0x7e00; // NaN
    else if (magnitude >= 0x47800000) half = 0x7c00;
    else if (magnitude < 0x38800000) {
      half = Math.abs(from[i]!) * 2 ** 24 + 2 ** 52 - 2 ** 52; // subnormal: adding 2⁵² rounds to an integer
    } else half = (magnitude - (112 << 23) + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
    to[i] = sign | half;
  }
}

/** Rounds to nearest, ties to even. */
export function narrowToBfloat(from: Float32Array, to: Uint16Array): void {
  const bits = new Uint32Array(from.buffer, from.byteOffset, from.length);
  for (let i = 0; i < from.length; i++) {
    const word = bits[i]!;
    const notANumber = (word & 0x7fffffff) > 0x7f800000;
    to[i] = notANumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
}

/** Bytes read at a time when numbers have to be widened: a multiple of every element size. */
const chunkBytes = 1 << 20;

/** Reads a stored tensor as float32, row-major. @throws DiptychError `TensorTooLarge` if memory does not suffice. */
export async function readTensor(tensor: StoredTensor): Promise<NamedTensor> {
  const { name, shape, strides } = tensor;
  if (!strides) return { name, shape, data: await readNumbers(tensor, elementCount(shape)) };
  const extent = 1 + shape.reduce((last, size, axis) => last + (size - 1) * strides[axis]!, 0);
  return { name, shape, data: gather(await readNumbers(tensor, extent), shape, strides) };
}

/** `count` consecutive numbers; float32 goes straight into its place. */
async function readNumbers({ name, source, type, position }: StoredTensor, count: number): Promise<Float32Array> {
  const numbers = allocate(name, count);
  if (type === "F32") {
    await source.read(position, new Uint8Array(numbers.buffer));
    return numbers;
  }
  const { bytes, widen } = storageTypes[type];
  const scratch = new Uint8Array(Math.min(chunkBytes, count * bytes));
  for (let start = 0; start < count; start += chunkBytes / bytes) {
    const part = numbers.subarray(start, start + chunkBytes / bytes);
    const from = scratch.subarray(0, part.length * bytes);
    await source.read(position + start * bytes, from);
    widen(from, part);
  }
  return numbers;
}

function allocate(name: string, count: number): Float32Array<ArrayBuffer> {
  try {
    return new Float32Array(count);
  } catch (cause) {
    throw new DiptychError(
      "TensorTooLarge",
      `Tensor ${name} has ${count} elements, and there is no memory for them.`,
      "Free memory, or use a machine with more.",
      { cause },
    );
  }
}

/** The view that `strides` describe, row by row. */
function gather(from: Float32Array, shape: readonly number[], strides: readonly number[]): Float32Array {
  const to = new Float32Array(elementCount(shape));
  const index = shape.map(() => 0);
  let position = 0;
  for (let i = 0; i < to.length; i++) {
    to[i] = from[position]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      position -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return to;
}
