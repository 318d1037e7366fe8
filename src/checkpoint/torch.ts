/**
 * @file PyTorch's `.pt`, `.pth` and `.bin`: zip archives with a pickle and one record per storage (torch ≥ 1.6), TorchScript
 * archives of the same build (OpenAI's files), and the older run of pickles followed by the storages.
 * Follows torch/serialization.py and torch/_utils.py. Nothing in a file is executed; of a TorchScript archive only the
 * tensors are read, not the code.
 */
import { DiptychError } from "../errors.js";
import { type Constructor, type Constructors, PickledObject, unpickle } from "./pickle.js";
import { type ByteSource, readBytes } from "./source.js";
import { elementCount, type StorageType, type StoredTensor, storageTypes } from "./storage.js";
import { contentPosition, parseZip } from "./zip.js";

const storageClasses: Readonly<Record<string, StorageType>> = {
  "torch.DoubleStorage": "F64",
  "torch.FloatStorage": "F32",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16",
  "torch.CharStorage": "I8",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
};

/** What a storage's class stands for: it is only ever named, never called. */
class StorageClass {
  constructor(readonly type: StorageType) {}
}

/** Elements of one type in a row; tensors are views of them. */
class Storage {
  constructor(
    readonly type: StorageType,
    readonly key: string,
    readonly count: number,
  ) {}
}

class TorchTensor {
  constructor(
    readonly storage: Storage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const areSizes = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.length <= 8 && value.every(isSize);

/**
 * Everything that a table of tensors needs to be built. Arguments that only matter to training are dropped.
 * @param script whether classes of TorchScript may occur
 * @param storages collects every storage that is referred to, by its key
 */
function constructorsFor(where: string, script: boolean, storages: Map<unknown, Storage>): Constructors {
  const damaged = (problem: string) =>
    new DiptychError("BadTorchFile", `${where} ${problem}.`, "Fetch or copy the file again.");

  const tensor: Constructor = (storage, offset, shape, strides) => {
    const fits = storage instanceof Storage && isSize(offset) && areSizes(shape) && areSizes(strides);
    if (!fits || shape.length !== strides.length) throw damaged("describes a tensor that makes no sense");
    const count = elementCount(shape);
    const last = shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, offset);
    if (count > 0 && (count > storage.count || last >= storage.count)) {
      throw damaged(`has a tensor of shape [${shape}] over a storage of ${storage.count} elements`);
    }
    return new TorchTensor(storage, offset, shape, strides);
  };
  const itself: Constructor = (value) => value;
  const known: Readonly<Record<string, Constructor>> = {
    "collections.OrderedDict": (pairs) =>
      new Map(
        Array.isArray(pairs) ? pairs.filter((pair) => Array.isArray(pair)).map(([key, value]) => [key, value]) : [],
      ),
    "torch._utils._rebuild_tensor": tensor,
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_parameter": itself,
    "torch.Size": itself,
    "torch.jit._pickle.restore_type_tag": itself,
    "torch.jit._pickle.build_intlist": itself,
    "torch.jit._pickle.build_doublelist": itself,
    "torch.jit._pickle.build_boollist": itself,
    "torch.jit._pickle.build_tensorlist": itself,
  };
  return {
    find: (name) => {
      if (Object.hasOwn(known, name)) return known[name];
      if (Object.hasOwn(storageClasses, name)) return new StorageClass(storageClasses[name]!);
      return script && name.startsWith("__torch__.") ? () => new PickledObject() : undefined;
    },
    persistent: (id) => {
      const [tag, type, key, , count, view] = Array.isArray(id) ? (id as unknown[]) : [];
      if (tag !== "storage" || !(type instanceof StorageClass) || typeof key !== "string" || !isSize(count) || view) {
        throw damaged("refers to a storage of an unknown kind");
      }
      const storage = new Storage(type.type, key, count);
      storages.set(key, storage);
      return storage;
    },
  };
}

export interface TorchFile {
  readonly tensors: readonly StoredTensor[];
  /** TorchScript with the size buffers of OpenAI's model class: their released files, which all mean QuickGELU. */
  readonly isOpenAI: boolean;
}

/** A pickle of names and shapes is small; the numbers are not in it. */
const longestPickle = 1 << 23;

/** The long integer with which files of before torch 1.6 begin, pickled. */
const legacyMagic = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e];
const zipMagic = [0x50, 0x4b, 0x03, 0x04];

/** Whether the first bytes are those of a torch file. */
export async function isTorchFile(source: ByteSource): Promise<boolean> {
  return (await startsWith(source, zipMagic)) || (await startsWith(source, legacyMagic));
}

async function startsWith(source: ByteSource, magic: readonly number[]): Promise<boolean> {
  const start = await readBytes(source, 0, Math.min(source.size, magic.length));
  return start.length === magic.length && magic.every((byte, i) => start[i] === byte);
}

/** @throws DiptychError `BadTorchFile`, `BadArchive`, `BadPickle`, `ForeignConstructor`, `TruncatedFile`. */
export async function parseTorch(source: ByteSource): Promise<TorchFile> {
  const { root, locate } = (await startsWith(source, zipMagic)) ? await readArchive(source) : await readLegacy(source);
  const found = tensorsIn(root, source);
  const bytesOf = (shape: readonly number[], type: StorageType) => elementCount(shape) * storageTypes[type].bytes;
  const total = [...found.values()].reduce((sum, { shape, storage }) => sum + bytesOf(shape, storage.type), 0);
  if (total > source.size) {
    throw badFile(source, `describes tensors of ${total} bytes in all, and has ${source.size}`);
  }
  const tensors: StoredTensor[] = [];
  for (const [name, { storage, offset, shape, strides }] of found) {
    const position = (await locate(storage)) + offset * storageTypes[storage.type].bytes;
    const stored = { name, shape, type: storage.type, source, position };
    tensors.push(isRowMajor(shape, strides) ? stored : { ...stored, strides });
  }
  const isOpenAI =
    root instanceof PickledObject && ["input_resolution", "context_length"].every((name) => found.has(name));
  return { tensors, isOpenAI };
}

interface Contents {
  readonly root: unknown;
  /** First byte of a storage, all of which lies within the file. */
  readonly locate: (storage: Storage) => Promise<number>;
}

async function readArchive(source: ByteSource): Promise<Contents> {
  const records = await parseZip(source);
  const main = [...records.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (!main) throw badFile(source, "is a zip archive without torch's data.pkl");
  const folder = main.slice(0, -"data.pkl".length);
  const content = async (name: string): Promise<Uint8Array> => {
    const record = records.get(name)!;
    if (record.size > longestPickle) throw badFile(source, `claims ${record.size} bytes for ${name}`);
    return readBytes(source, await contentPosition(source, record), record.size);
  };
  const order = `${folder}byteorder`;
  if (records.has(order) && new TextDecoder().decode(await content(order)) !== "little") {
    throw badFile(source, "was written by a big-endian machine");
  }
  const script = records.has(`${folder}constants.pkl`);
  const { value: root } = unpickle(await content(main), constructorsFor(source.name, script, new Map()), source.name);
  const locate = async ({ key, type, count }: Storage): Promise<number> => {
    const record = records.get(`${folder}data/${key}`);
    if (!record || record.size < count * storageTypes[type].bytes) {
      throw badFile(source, `has ${record?.size ?? 0} bytes for a storage of ${count} ${type}`);
    }
    return contentPosition(source, record);
  };
  return { root, locate };
}

async function readLegacy(source: ByteSource): Promise<Contents> {
  const start = await readBytes(source, 0, Math.min(source.size, longestPickle));
  const storages = new Map<unknown, Storage>();
  let end = 0;
  const next = (): unknown => {
    const pickle = unpickle(start, constructorsFor(source.name, false, storages), source.name, end);
    end = pickle.end;
    return pickle.value;
  };
  next(); // the magic number
  const version = next();
  const system = next();
  if (version !== 1001 || (system instanceof Map && system.get("little_endian") === false)) {
    throw badFile(source, "is of an unknown version or byte order");
  }
  const root = next();
  const keys = next();
  if (!Array.isArray(keys)) throw badFile(source, "has no list of storages");

  // the storages follow in this order, each behind its number of elements
  const places = new Map<unknown, { readonly position: number; readonly count: number }>();
  for (const key of keys) {
    const type = storages.get(key)?.type;
    if (!type) throw badFile(source, "has a storage that belongs to no tensor");
    const count = Number(new DataView((await readBytes(source, end, 8)).buffer).getBigUint64(0, true));
    places.set(key, { position: end + 8, count });
    end += 8 + count * storageTypes[type].bytes;
    if (end > source.size) throw badFile(source, "ends before its storages do");
  }
  const locate = async ({ key, count }: Storage): Promise<number> => {
    const place = places.get(key);
    if (!place || place.count < count) throw badFile(source, `has no ${count} elements for a storage`);
    return place.position;
  };
  return { root, locate };
}

/** More objects than any model has modules and tensors: a file that refers to itself is stopped there. */
const mostObjects = 1_000_000;

/**
 * The tensors of a state dict, of a training checkpoint that holds one as `state_dict`, or of a TorchScript module, whose
 * names are the path of attributes.
 */
function tensorsIn(root: unknown, source: ByteSource): ReadonlyMap<string, TorchTensor> {
  const found = new Map<string, TorchTensor>();
  let seen = 0;
  const visit = (value: unknown, name: string, depth: number): void => {
    if (++seen > mostObjects || depth > 64) throw badFile(source, "holds objects within objects without end");
    if (value instanceof TorchTensor) found.set(name, value);
    const inner = value instanceof PickledObject ? value.state : depth === 0 ? value : null;
    if (!(inner instanceof Map)) return;
    for (const [key, item] of inner) {
      if (typeof key === "string") visit(item, name ? `${name}.${key}` : key, depth + 1);
    }
  };
  const nested = root instanceof Map ? root.get("state_dict") : undefined;
  visit(nested instanceof Map ? nested : root, "", 0);
  if (found.size === 0) throw badFile(source, "holds no table of tensors");
  return found;
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  if (elementCount(shape) === 0) return true;
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== step) return false;
    step *= shape[axis]!;
  }
  return true;
}

const badFile = (source: ByteSource, problem: string) =>
  new DiptychError(
    "BadTorchFile",
    `${source.name} ${problem}.`,
    "Fetch or copy the file again, or save it anew in Python.",
  );
