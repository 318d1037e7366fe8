/**
 * @file TensorBoard's event files: records as TensorFlow's `record_writer.cc` frames them, each one an `Event` message of
 * TensorFlow's `event.proto` and `summary.proto`. Written by hand because the only other writers come with TensorFlow.
 * Leaves out: histograms, hyperparameters, reading.
 */
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { Message } from "../graph/index.js";

/** One value at one step. */
export type Summary =
  | { readonly tag: string; readonly scalar: number }
  | { readonly tag: string; readonly png: Uint8Array; readonly width: number; readonly height: number };

export interface EventFile {
  write(step: number, values: readonly Summary[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a new event file in `folder`. Readers take a folder's files in the order of their names, which begin with the
 * time, and forget what older files say of `step` and later ones: a resumed run continues the series without duplicates.
 * @param now milliseconds since 1970.
 */
export async function createEventFile(folder: string, step: number, now = Date.now): Promise<EventFile> {
  await mkdir(folder, { recursive: true });
  const seconds = String(Math.floor(now() / 1000)).padStart(10, "0");
  const name = `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${step}`;
  const file = await open(path.join(folder, name), "a");
  const event = (at: number): Message => new Message().double(1, now() / 1000).integer(2, at);
  await append(file, event(0).string(3, "brain.Event:2"));
  await append(file, event(step).message(7, new Message().integer(1, sessionStart)));
  return {
    write: (at, values) => append(file, event(at).message(5, summary(values))),
    close: () => file.close(),
  };
}

/** `SessionLog.SessionStatus.START` */
const sessionStart = 1;

const append = async (file: FileHandle, event: Message): Promise<void> => {
  await file.appendFile(frameRecord(event.toBytes()));
};

function summary(values: readonly Summary[]): Message {
  const message = new Message();
  for (const value of values) message.message(1, summaryValue(value));
  return message;
}

function summaryValue(value: Summary): Message {
  const message = new Message().string(1, value.tag);
  if ("scalar" in value) return message.float(2, value.scalar);
  const rgb = 3;
  const image = new Message().integer(1, value.height).integer(2, value.width).integer(3, rgb).bytes(4, value.png);
  return message.message(4, image);
}

/** A record: its length, the length's checksum, its bytes, their checksum; little-endian. */
export function frameRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(12 + data.length + 4);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedChecksum(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedChecksum(data), true);
  return record;
}

/** Rotated and moved, so that a checksum of bytes that hold checksums stays a good one (`crc32c.h`, `Mask`). */
function maskedChecksum(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** CRC-32C (Castagnoli; RFC 3720, appendix B.4). Node's `zlib.crc32` has another polynomial. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ castagnoli[(crc ^ byte) & 0xff]!;
  return ~crc >>> 0;
}

const castagnoli = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});
