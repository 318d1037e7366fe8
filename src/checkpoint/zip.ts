/**
 * @file The table of contents of a zip archive (PKWARE APPNOTE 6.3, with ZIP64), as torch writes them: records are stored,
 * not compressed. Compressed records are refused when they are asked for: so nothing unpacks to more than the file holds.
 */
import { DiptychError } from "../errors.js";
import { type ByteSource, readBytes } from "./source.js";

export interface ZipRecord {
  readonly name: string;
  readonly size: number;
  readonly compressed: boolean;
  /** Where the record's own header begins; its bytes follow that header. */
  readonly header: number;
}

const tailLength = 22 + 65535; // the end record and the longest comment
const longestDirectory = 100_000_000;

/** Name → record. @throws DiptychError `BadArchive`, `TruncatedFile`. */
export async function parseZip(source: ByteSource): Promise<ReadonlyMap<string, ZipRecord>> {
  const tailStart = Math.max(0, source.size - tailLength);
  const tail = await viewOf(source, tailStart, source.size - tailStart);
  let end = tail.byteLength - 22;
  while (end >= 0 && tail.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw badArchive(source, "has no table of contents at its end: it is cut short");

  let count = tail.getUint16(end + 10, true);
  let length = tail.getUint32(end + 12, true);
  let start = tail.getUint32(end + 16, true);
  if (end >= 20 && tail.getUint32(end - 20, true) === 0x07064b50) {
    const large = await viewOf(source, wide(tail, end - 20 + 8), 56);
    count = wide(large, 32);
    length = wide(large, 40);
    start = wide(large, 48);
  }
  if (length > longestDirectory) throw badArchive(source, `claims a table of contents of ${length} bytes`);

  const directory = await viewOf(source, start, length);
  const records = new Map<string, ZipRecord>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > length || directory.getUint32(at, true) !== 0x02014b50) {
      throw badArchive(source, `has a damaged table of contents at its record ${i}`);
    }
    const nameLength = directory.getUint16(at + 28, true);
    const extraLength = directory.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + directory.getUint16(at + 32, true);
    if (next > length) throw badArchive(source, `has a damaged table of contents at its record ${i}`);
    const name = new TextDecoder().decode(new Uint8Array(directory.buffer, at + 46, nameLength));
    const extra = new DataView(directory.buffer, at + 46 + nameLength, extraLength);
    const record = {
      name,
      compressed: directory.getUint16(at + 10, true) !== 0,
      ...wideFields(extra, directory.getUint32(at + 24, true), directory.getUint32(at + 42, true)),
    };
    if (records.has(name)) throw badArchive(source, `has two records called ${name}`);
    records.set(name, record);
    at = next;
  }
  return records;
}

/** First byte of a record's content. @throws DiptychError if it is compressed or does not lie within the file. */
export async function contentPosition(source: ByteSource, record: ZipRecord): Promise<number> {
  if (record.compressed) throw badArchive(source, `stores ${record.name} compressed, as torch never does`);
  const header = await viewOf(source, record.header, 30);
  if (header.getUint32(0, true) !== 0x04034b50)
    throw badArchive(source, `has no record where ${record.name} should begin`);
  const position = record.header + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  if (position + record.size > source.size) throw badArchive(source, `ends before ${record.name} does`);
  return position;
}

/** Sizes of 4 GB and more stand in an extra field of kind 1, in this order, and only those that did not fit. */
function wideFields(extra: DataView, size: number, header: number): { size: number; header: number } {
  for (let at = 0; at + 4 <= extra.byteLength; at += 4 + extra.getUint16(at + 2, true)) {
    if (extra.getUint16(at, true) !== 1) continue;
    const end = Math.min(extra.byteLength, at + 4 + extra.getUint16(at + 2, true));
    let field = at + 4;
    const take = (narrow: number): number => {
      if (narrow !== 0xffffffff || field + 8 > end) return narrow;
      field += 8;
      return wide(extra, field - 8);
    };
    const fullSize = take(size);
    if (size === 0xffffffff) take(0xffffffff); // the packed size, equal to it
    return { size: fullSize, header: take(header) };
  }
  return { size, header };
}

const wide = (view: DataView, at: number): number => Number(view.getBigUint64(at, true));

const viewOf = async (source: ByteSource, position: number, length: number): Promise<DataView<ArrayBuffer>> =>
  new DataView((await readBytes(source, position, length)).buffer);

const badArchive = (source: ByteSource, problem: string) =>
  new DiptychError("BadArchive", `${source.name} ${problem}.`, "Fetch or copy the file again.");
