/** @file Writes small tar archives for tests, with the header forms that real ones have. */

export interface TarEntry {
  readonly name: string;
  readonly content: string | Uint8Array;
  /** How a name or size is written: in the header, or in an extension before it. */
  readonly form?: "ustar" | "gnu-long" | "pax" | "binary-size";
  readonly type?: string;
}

/** The archive's bytes, with the two zero blocks at its end. */
export function tarOf(entries: readonly TarEntry[]): Uint8Array {
  return Buffer.concat([...entries.map(entryBytes), Buffer.alloc(1024)]);
}

function entryBytes({ name, content, form = "ustar", type = "0" }: TarEntry): Uint8Array {
  const bytes = Buffer.from(content as Uint8Array);
  if (form === "gnu-long") {
    const long = Buffer.from(`${name}\0`);
    return Buffer.concat([
      header("././@LongLink", long.length, "L"),
      padded(long),
      header(name, bytes.length, type),
      padded(bytes),
    ]);
  }
  if (form === "pax") {
    const records = Buffer.from(
      paxRecord("comment", "none") + paxRecord("path", name) + paxRecord("size", String(bytes.length)),
    );
    return Buffer.concat([
      header("PaxHeader", records.length, "x"),
      padded(records),
      header("short", 0, type),
      padded(bytes),
    ]);
  }
  return Buffer.concat([header(name, bytes.length, type, form === "binary-size"), padded(bytes)]);
}

function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return `${length} ${key}=${value}\n`;
}

function header(name: string, size: number, type: string, binarySize = false): Uint8Array {
  const block = Buffer.alloc(512);
  const bytes = Buffer.from(name);
  const split = bytes.length > 100 ? name.lastIndexOf("/", 150) : -1;
  block.write(split > 0 ? name.slice(split + 1) : name, 0, 100);
  if (split > 0) block.write(name.slice(0, split), 345, 155);
  block.write("0000644\0", 100);
  if (binarySize) {
    block[124] = 0x80;
    block.writeUIntBE(size, 130, 6);
  } else block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136);
  block.write(type, 156);
  block.write("ustar\x0000", 257);
  block.write("        ", 148);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function padded(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}
