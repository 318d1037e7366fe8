/**
 * @file Reads the headers of a tar archive: where each file in it lies. Follows POSIX ustar and pax (IEEE 1003.1) and
 * GNU tar's long names and binary sizes. File contents are not read, so an archive of any size is listed quickly.
 * Leaves out compressed and sparse archives; links, folders and devices are passed over.
 */
import { DiptychError } from "../errors.js";

/** Bytes that can be read at any place. `read` may return fewer bytes than asked for only at the end. */
export interface ByteReader {
  readonly size: number;
  /** Bytes worth asking for at once; 64 KiB unless given. */
  readonly window?: number;
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A file in an archive: its content is `size` bytes from `offset`. */
export interface TarMember {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

const block = 512;
const windowBytes = 64 * 1024; // one read covers the headers of many small files
const longestExtension = 1024 * 1024; // of a pax or long-name header

/**
 * The regular files of an archive, in order.
 * @param label names the archive in errors.
 * @throws DiptychError "DamagedShard" where the archive is cut short or no archive; what came before stays valid.
 */
export async function* tarMembers(archive: ByteReader, label: string): AsyncGenerator<TarMember> {
  const read = windowed(archive);
  const damaged = (where: number, what: string): DiptychError =>
    new DiptychError("DamagedShard", `${label} ${what} at byte ${where}.`, "Download or pack the shard again.");

  let longName: string | null = null;
  let pax: PaxFields = {};
  let offset = 0;
  while (offset + block <= archive.size) {
    const header = await read(offset, block);
    if (header.every((byte) => byte === 0)) return; // the end mark
    if (header[0] === 0x1f && header[1] === 0x8b && offset === 0) throw damaged(0, "is compressed with gzip");
    if (!checksumHolds(header)) throw damaged(offset, "has no valid tar header");

    const type = String.fromCharCode(header[156]!);
    const isExtension = type === "x" || type === "L" || type === "K" || type === "g";
    const size = (isExtension ? null : pax.size) ?? numberField(header.subarray(124, 136));
    if (size === null) throw damaged(offset, "has an impossible file size");
    const content = offset + block;
    if (content + size > archive.size) throw damaged(archive.size, "is cut short");
    offset = content + Math.ceil(size / block) * block;

    if (isExtension) {
      if (size > longestExtension) throw damaged(content, "has an extended header of over 1 MiB");
      if (type === "L") longName = text(await read(content, size));
      if (type === "x") {
        const fields = paxFields(await read(content, size));
        if (!fields) throw damaged(content, "has an unreadable pax header");
        pax = fields;
      }
      continue; // "K" (a link's long target) and "g" (global: comments, dates) say nothing about where files lie
    }
    const name = pax.path ?? longName ?? headerName(header);
    longName = null;
    pax = {};
    if (type === "0" || type === "\0" || type === "7")
      yield { name: name.replace(/^(\.?\/)+/, ""), offset: content, size };
  }
  throw damaged(archive.size, "has no end mark and may be cut short");
}

/** Serves short reads from one longer one. */
function windowed(archive: ByteReader): (offset: number, length: number) => Promise<Uint8Array> {
  const { window = windowBytes } = archive;
  let start = 0;
  let bytes: Uint8Array = new Uint8Array(0);
  return async (offset, length) => {
    if (offset < start || offset + length > start + bytes.length) {
      start = offset;
      bytes = await archive.read(offset, Math.min(Math.max(length, window), archive.size - offset));
    }
    return bytes.subarray(offset - start, offset - start + length);
  };
}

/** The sum of a header's bytes, its own checksum field counted as spaces. Some old archives summed signed bytes. */
function checksumHolds(header: Uint8Array): boolean {
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < block; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : header[i]!;
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const stated = numberField(header.subarray(148, 156));
  return stated === unsigned || stated === signed;
}

/** Octal text, or GNU's big-endian binary marked by the top bit. Null when neither, negative or over 2⁵³. */
function numberField(field: Uint8Array): number | null {
  if (field[0]! & 0x80) {
    const value = field.subarray(1).reduce((sum, byte) => sum * 256 + byte, field[0]! & 0x7f);
    return Number.isSafeInteger(value) ? value : null;
  }
  const digits = text(field).trim();
  return /^[0-7]*$/.test(digits) ? Number.parseInt(digits || "0", 8) : null;
}

/** The name field, behind the prefix field where the header is ustar (GNU keeps dates in its place). */
function headerName(header: Uint8Array): string {
  const isUstar = text(header.subarray(257, 263)) === "ustar" && header[262] === 0;
  const prefix = isUstar ? text(header.subarray(345, 500)) : "";
  return (prefix ? `${prefix}/` : "") + text(header.subarray(0, 100));
}

interface PaxFields {
  readonly path?: string;
  readonly size?: number;
}

/** Records "LENGTH KEY=VALUE\n", where LENGTH counts the whole record. Null when malformed. */
function paxFields(bytes: Uint8Array): PaxFields | null {
  let fields: PaxFields = {};
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = bytes.indexOf(0x20, at);
    const length = Number(text(bytes.subarray(at, Math.max(space, at))));
    if (space < 0 || !Number.isInteger(length) || length <= space - at + 1 || at + length > bytes.length) return null;
    const record = text(bytes.subarray(space + 1, at + length - 1));
    const value = record.slice(record.indexOf("=") + 1);
    if (record.startsWith("path=")) fields = { ...fields, path: value };
    if (record.startsWith("size=")) {
      if (!/^\d{1,15}$/.test(value)) return null;
      fields = { ...fields, size: Number(value) };
    }
    at += length;
  }
  return fields;
}

/** UTF-8 up to the first NUL. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
