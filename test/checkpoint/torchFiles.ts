/** @file Writes pickles opcode by opcode, zip archives, and torch files made of them: good ones and any kind of bad one. */

export const bytes = (...parts: readonly (string | number | Uint8Array)[]): Uint8Array => {
  const pieces = parts.map((part) => {
    if (typeof part === "number") return Uint8Array.of(part);
    return typeof part === "string" ? new TextEncoder().encode(part) : part;
  });
  return new Uint8Array(Buffer.concat(pieces));
};

const little = (value: number | bigint, width: 2 | 4 | 8): Uint8Array =>
  new Uint8Array(BigUint64Array.of(BigInt(value)).buffer, 0, width);

export const text = (value: string) => bytes("X", little(value.length, 4), value);
export const int = (value: number) => bytes("J", little(value >>> 0, 4));
export const tuple = (...items: readonly Uint8Array[]) => bytes("(", ...items, "t");
export const dictionary = (...items: readonly Uint8Array[]) => bytes("}(", ...items, "u");
export const global = (module: string, name: string) => bytes(`c${module}\n${name}\n`);
export const call = (callee: Uint8Array, ...args: readonly Uint8Array[]) => bytes(callee, tuple(...args), "R");
export const pickle = (value: Uint8Array) => bytes(0x80, 2, value, ".");

export interface FakeTensor {
  readonly key?: string;
  readonly kind?: string;
  readonly count?: number;
  readonly offset?: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

export const tensor = ({ key = "0", kind = "FloatStorage", count = 6, offset = 0, shape, strides }: FakeTensor) =>
  call(
    global("torch._utils", "_rebuild_tensor_v2"),
    bytes(tuple(text("storage"), global("torch", kind), text(key), text("cpu"), int(count)), "Q"),
    int(offset),
    tuple(...shape.map(int)),
    tuple(...strides.map(int)),
    bytes(0x89),
    call(global("collections", "OrderedDict")),
  );

/** A zip archive of stored records. `claim` overrides the size in the table of contents; `method` 8 claims compression. */
export function zip(records: Readonly<Record<string, Uint8Array>>, claim: { size?: number; method?: number } = {}) {
  const heads: Uint8Array[] = [];
  const bodies: Uint8Array[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(records)) {
    const size = little(claim.size ?? content.length, 4);
    const shared = bytes(
      little(0, 2),
      little(claim.method ?? 0, 2),
      new Uint8Array(8),
      size,
      size,
      little(name.length, 2),
    );
    const body = bytes("PK\u0003\u0004", little(10, 2), shared, little(0, 2), name, content);
    heads.push(bytes("PK\u0001\u0002", little(10, 4), shared, new Uint8Array(12), little(offset, 4), name));
    bodies.push(body);
    offset += body.length;
  }
  const directory = bytes(...heads);
  const count = little(heads.length, 2);
  const end = bytes(
    "PK\u0005\u0006",
    new Uint8Array(4),
    count,
    count,
    little(directory.length, 4),
    little(offset, 4),
    0,
    0,
  );
  return bytes(...bodies, directory, end);
}

export const floats = (...values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);

export const archive = (root: Uint8Array, storage = floats(1, 2, 3, 4, 5, 6), more: Record<string, Uint8Array> = {}) =>
  zip({ "m/data.pkl": pickle(root), "m/data/0": storage, ...more });

const magic = bytes(0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, ".");

/** The format before torch 1.6. */
export const legacy = (root: Uint8Array, storage = floats(1, 2, 3, 4, 5, 6)) =>
  bytes(
    magic,
    pickle(bytes("M", little(1001, 2))),
    pickle(dictionary(text("little_endian"), bytes(0x88))),
    pickle(root),
    pickle(bytes("](", text("0"), "e")),
    little(storage.length / 4, 8),
    storage,
  );
