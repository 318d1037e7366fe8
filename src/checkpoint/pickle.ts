/**
 * @file Python's pickle format (protocols 2 to 4; pickletools.py documents it), read as data. A pickle is a program for a
 * small stack machine that may name any function and have it called. This machine knows no functions: it hands the names
 * to `Constructors`, a short list, and refuses every other with its name. Memory and time are linear in the input.
 * Leaves out: protocol 0's text opcodes, persistent ids as text, extension codes, buffers out of band.
 */
import { DiptychError } from "../errors.js";

/** What a name in the pickle may stand for: a function of plain values that makes a plain value. */
export type Constructor = (...args: readonly unknown[]) => unknown;

export interface Constructors {
  /** What `module.name` stands for, or undefined to refuse the file. Only a function can be called. */
  readonly find: (name: string) => unknown;
  /** What stands for an object that is stored outside of the pickle. */
  readonly persistent: (id: unknown) => unknown;
}

/** An object of a class that only TorchScript knows: what it holds is in `state`. */
export class PickledObject {
  state: unknown;
}

interface Machine {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at: number;
  stack: unknown[];
  readonly marks: unknown[][];
  readonly memo: Map<number, unknown>;
  readonly constructors: Constructors;
  readonly where: string;
}

/**
 * Reads one pickle. Tuples and lists become arrays, dictionaries Maps.
 * @returns the value and the position behind the pickle
 * @throws DiptychError `ForeignConstructor` naming what it refuses, `BadPickle` for everything else.
 */
export function unpickle(
  bytes: Uint8Array,
  constructors: Constructors,
  where: string,
  start = 0,
): { readonly value: unknown; readonly end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const m: Machine = { bytes, view, at: start, stack: [], marks: [], memo: new Map(), constructors, where };
  for (;;) {
    const opcode = bytes[skip(m, 1)]!;
    if (opcode === stop) return { value: pop(m), end: m.at };
    const run = opcodes[opcode];
    if (!run) throw badPickle(m, `uses opcode 0x${opcode.toString(16)}, which no checkpoint needs`);
    run(m);
  }
}

const stop = 0x2e;

const push = (value: unknown) => (m: Machine) => void m.stack.push(value);
const pushed = (read: (m: Machine) => unknown) => (m: Machine) => {
  const value = read(m); // may change which stack is the current one
  m.stack.push(value);
};
const tuple = (length: number) => (m: Machine) => {
  if (m.stack.length < length) throw badPickle(m, "takes from an empty stack");
  m.stack.push(m.stack.splice(m.stack.length - length, length));
};

const opcodes: Readonly<Record<number, (m: Machine) => void>> = {
  128: (m) => void u8(m), // PROTO
  149: (m) => void length8(m), // FRAME
  40: (m) => {
    m.marks.push(m.stack); // MARK
    m.stack = [];
  },
  48: (m) => void pop(m), // POP
  49: (m) => void popMark(m), // POP_MARK
  78: push(null), // NONE
  136: push(true), // NEWTRUE
  137: push(false), // NEWFALSE
  74: pushed((m) => m.view.getInt32(skip(m, 4), true)), // BININT
  75: pushed(u8), // BININT1
  77: pushed((m) => m.view.getUint16(skip(m, 2), true)), // BININT2
  138: pushed(long), // LONG1
  71: pushed((m) => m.view.getFloat64(skip(m, 8))), // BINFLOAT
  88: pushed((m) => text(m, u32(m))), // BINUNICODE
  140: pushed((m) => text(m, u8(m))), // SHORT_BINUNICODE
  141: pushed((m) => text(m, length8(m))), // BINUNICODE8
  84: pushed((m) => text(m, u32(m))), // BINSTRING
  85: pushed((m) => text(m, u8(m))), // SHORT_BINSTRING
  66: pushed((m) => slice(m, u32(m))), // BINBYTES
  67: pushed((m) => slice(m, u8(m))), // SHORT_BINBYTES
  93: (m) => void m.stack.push([]), // EMPTY_LIST
  41: (m) => void m.stack.push([]), // EMPTY_TUPLE
  125: (m) => void m.stack.push(new Map()), // EMPTY_DICT
  133: tuple(1),
  134: tuple(2),
  135: tuple(3),
  116: pushed(popMark), // TUPLE
  97: (m) => append(m, [pop(m)]), // APPEND
  101: (m) => append(m, popMark(m)), // APPENDS
  115: (m) => {
    const value = pop(m); // SETITEM
    setItems(m, [pop(m), value]);
  },
  117: (m) => setItems(m, popMark(m)), // SETITEMS
  104: pushed((m) => recall(m, u8(m))), // BINGET
  106: pushed((m) => recall(m, u32(m))), // LONG_BINGET
  113: (m) => void m.memo.set(u8(m), top(m)), // BINPUT
  114: (m) => void m.memo.set(u32(m), top(m)), // LONG_BINPUT
  148: (m) => void m.memo.set(m.memo.size, top(m)), // MEMOIZE
  99: (m) => pushConstructor(m, line(m), line(m)), // GLOBAL
  147: (m) => {
    const name = pop(m); // STACK_GLOBAL
    pushConstructor(m, pop(m), name);
  },
  82: construct, // REDUCE
  129: construct, // NEWOBJ
  98: (m) => {
    const state = pop(m); // BUILD: attributes of a dictionary or a tensor say nothing to us
    const object = top(m);
    if (object instanceof PickledObject) object.state = state;
  },
  81: pushed((m) => m.constructors.persistent(pop(m))), // BINPERSID
};

function pushConstructor(m: Machine, module: unknown, name: unknown): void {
  const full = `${module}.${name}`;
  const found = m.constructors.find(full);
  if (found === undefined) {
    throw new DiptychError(
      "ForeignConstructor",
      `${m.where} wants to have ${JSON.stringify(full)} called, which is no part of a table of tensors.`,
      "If you trust the file, open it in Python and save its state_dict() alone, best as safetensors.",
    );
  }
  m.stack.push(found);
}

/** No constructor takes more; a million arguments would overflow the call stack. */
const mostArguments = 16;

function construct(m: Machine): void {
  const args = pop(m);
  const callee = pop(m);
  if (typeof callee !== "function" || !Array.isArray(args) || args.length > mostArguments) {
    throw badPickle(m, "calls what cannot be called");
  }
  m.stack.push(callee(...args));
}

function append(m: Machine, items: readonly unknown[]): void {
  const list = top(m);
  if (!Array.isArray(list)) throw badPickle(m, "appends to what is no list");
  for (const item of items) list.push(item);
}

function setItems(m: Machine, items: readonly unknown[]): void {
  const dictionary = top(m);
  if (!(dictionary instanceof Map) || items.length % 2 !== 0) throw badPickle(m, "sets items of what is no dictionary");
  for (let i = 0; i < items.length; i += 2) dictionary.set(items[i], items[i + 1]);
}

function recall(m: Machine, index: number): unknown {
  if (!m.memo.has(index)) throw badPickle(m, "recalls what it did not keep");
  return m.memo.get(index);
}

function top(m: Machine): unknown {
  if (m.stack.length === 0) throw badPickle(m, "takes from an empty stack");
  return m.stack.at(-1);
}

function pop(m: Machine): unknown {
  const value = top(m);
  m.stack.pop();
  return value;
}

/** Everything since the last mark. */
function popMark(m: Machine): unknown[] {
  const items = m.stack;
  const below = m.marks.pop();
  if (!below) throw badPickle(m, "closes a group that it did not open");
  m.stack = below;
  return items;
}

/** The position of the next `length` bytes, which are then read. */
function skip(m: Machine, length: number): number {
  const start = m.at;
  if (length > m.bytes.length - start) throw badPickle(m, "ends too early");
  m.at += length;
  return start;
}

function u8(m: Machine): number {
  return m.bytes[skip(m, 1)]!;
}

function u32(m: Machine): number {
  return m.view.getUint32(skip(m, 4), true);
}

function length8(m: Machine): number {
  return Number(m.view.getBigUint64(skip(m, 8), true));
}

function slice(m: Machine, length: number): Uint8Array {
  const start = skip(m, length);
  return m.bytes.subarray(start, start + length);
}

function text(m: Machine, length: number): string {
  return new TextDecoder().decode(slice(m, length));
}

function line(m: Machine): string {
  const end = m.bytes.indexOf(0x0a, m.at);
  if (end < 0) throw badPickle(m, "ends too early");
  return text(m, end + 1 - m.at).trimEnd();
}

/** A little-endian integer in two's complement, of at most 255 bytes. */
function long(m: Machine): bigint {
  const digits = slice(m, u8(m));
  let value = 0n;
  for (let i = digits.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(digits[i]!);
  return BigInt.asIntN(Math.max(1, digits.length * 8), value);
}

const badPickle = (m: Machine, problem: string) =>
  new DiptychError("BadPickle", `${m.where} ${problem} (byte ${m.at}).`, "Fetch or copy the file again.");
