/** @file A little reader of TensorBoard's event files, written from the formats' descriptions and not from our writer. */
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

export interface ReadEvent {
  readonly wallTime: number;
  readonly step: number;
  readonly version?: string;
  /** A session began here: what earlier files say of this step and later ones is void. */
  readonly starts: boolean;
  readonly scalars: Readonly<Record<string, number>>;
  readonly images: Readonly<Record<string, { readonly width: number; readonly height: number; readonly png: Buffer }>>;
}

/** All events of a folder's files, in the order in which TensorBoard reads them; throws where a checksum is wrong. */
export async function readEvents(folder: string): Promise<ReadEvent[]> {
  const names = (await readdir(folder)).sort();
  const files = await Promise.all(names.map((name) => readFile(path.join(folder, name))));
  return files.flatMap((file) => [...records(file)].map(readEvent));
}

export function* records(file: Buffer): Generator<Buffer> {
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    const data = file.subarray(at + 12, at + 12 + length);
    verify(file.subarray(at, at + 8), file.readUInt32LE(at + 8));
    verify(data, file.readUInt32LE(at + 12 + length));
    yield data;
    at += 16 + length;
  }
}

function verify(data: Buffer, masked: number): void {
  const rotated = (masked - 0xa282ead8) >>> 0;
  const stored = ((rotated >>> 17) | (rotated << 15)) >>> 0;
  if (stored !== checksum(data)) throw new Error(`a record's checksum is ${stored}, not ${checksum(data)}`);
}

/** CRC-32C as polynomial division, bit by bit from the lowest, in exact integers. */
function checksum(data: Buffer): number {
  let rest = 0xffffffffn;
  for (const byte of data) {
    rest ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) rest = rest & 1n ? (rest >> 1n) ^ 0x82f63b78n : rest >> 1n;
  }
  return Number(rest ^ 0xffffffffn);
}

/** A protobuf message's fields in order: number, and an integer, or the bytes of anything else. */
function* fields(message: Buffer): Generator<{ field: number; integer: number; bytes: Buffer }> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++]!;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = varint();
    const wire = key & 7;
    const integer = wire === 0 ? varint() : 0;
    const length = { 0: 0, 1: 8, 2: wire === 2 ? varint() : 0, 5: 4 }[wire]!;
    yield { field: key >> 3, integer, bytes: message.subarray(at, at + length) };
    at += length;
  }
}

function readEvent(record: Buffer): ReadEvent {
  const event = { wallTime: 0, step: 0, starts: false, scalars: {}, images: {} };
  for (const { field, integer, bytes } of fields(record)) {
    if (field === 1) event.wallTime = bytes.readDoubleLE();
    if (field === 2) event.step = integer;
    if (field === 3) Object.assign(event, { version: bytes.toString() });
    if (field === 7) event.starts = [...fields(bytes)].some((each) => each.field === 1 && each.integer === 1);
    if (field === 5) for (const value of fields(bytes)) readValue(value.bytes, event.scalars, event.images);
  }
  return event;
}

function readValue(value: Buffer, scalars: Record<string, number>, images: Record<string, unknown>): void {
  let tag = "";
  for (const { field, bytes } of fields(value)) {
    if (field === 1) tag = bytes.toString();
    if (field === 2) scalars[tag] = bytes.readFloatLE();
    if (field === 4) {
      const image = new Map([...fields(bytes)].map((each) => [each.field, each]));
      images[tag] = { height: image.get(1)!.integer, width: image.get(2)!.integer, png: image.get(4)!.bytes };
    }
  }
}
