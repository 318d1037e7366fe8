/**
 * @file The hot loops of resizing, as 3,320 bytes of WebAssembly with 128-bit vectors. Written down in its binary form
 * below, so that no compiler is needed to build the package.
 *
 * They make `outputs` weighted sums of bytes, for four lines at once (they share the weights) and four adjacent bytes each:
 *
 *     for each group g, output o, line l in 0..3, byte b in 0..3:
 *       sum = half + Σ_t weight[o][t] · source[(4·g + l)·below + first[o] + t·step + b]
 *       out[(4·g + l)·outBelow + o·outStep + b] = clip(sum >> 22)
 *
 * Pixels of fewer than four bytes come with some of their neighbour's, which the next output overwrites.
 *
 * A weight has more bits than the fastest product of vectors takes (eight of 16 bits, added in pairs), so it comes in two
 * parts, weight = high · 2¹⁵ + low, and taps come two by two. Sums may wrap on the way: modulo 2³² they are right, and what
 * they come to fits.
 */

/** Bits behind the point of a weight. */
export const precisionBits = 22;

const lowBits = 15;
const lowMask = (1 << lowBits) - 1;

/** What two taps' weights, integers with `precisionBits` bits behind the point, become: two words, high parts and low parts. */
export const packWeights = (a: number, b: number): readonly [high: number, low: number] => [
  ((a >> lowBits) & 0xffff) | ((b >> lowBits) << 16),
  (a & lowMask) | ((b & lowMask) << 16),
];

/** Addresses are byte offsets into `memory`; `first` (bytes), `pairs` and `weights` are tables of 32-bit integers. */
export interface SumsArguments {
  /** Of four lines; at least one. */
  readonly groups: number;
  readonly source: number;
  /** From one line to the next. */
  readonly below: number;
  /** From one input of a sum to the next: at most 4, a pixel's bytes, or more than 4. */
  readonly step: number;
  readonly first: number;
  /** How many pairs of taps. */
  readonly pairs: number;
  /** As `packWeights` makes them. */
  readonly weights: number;
  /** Size of the weights of one output. */
  readonly weightsStep: number;
  /** At least one, each of at least one input. */
  readonly outputs: number;
  readonly out: number;
  readonly outStep: number;
  readonly outBelow: number;
}

export interface Kernel {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  sums(args: SumsArguments): void;
}

/** What we use of WebAssembly; TypeScript declares it with the browser's library only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: Exports };
};
interface Exports {
  readonly memory: Kernel["memory"];
  readonly [sums: `sums${number}`]: (...args: number[]) => void;
}

/** Parameters in order, then the local variables. */
const parameters = [
  "groups",
  "source",
  "below",
  "step",
  "first",
  "pairs",
  "weights",
  "weightsStep",
  "outputs",
  "out",
  "outStep",
  "outBelow",
] as const satisfies readonly (keyof SumsArguments)[];
const integers = [
  "outputsLeft",
  "nextFirst",
  "nextPairs",
  "nextWeights",
  "nextOut",
  "pairsLeft",
  "from",
  "weight",
  "at",
] as const;
const lines = [0, 1, 2, 3] as const;
type Line = (typeof lines)[number];
const vectors = [
  "high",
  "low",
  "pixels",
  ...lines.map((l) => `high${l}` as const),
  ...lines.map((l) => `low${l}` as const),
] as const;
const names: readonly string[] = [...parameters, ...integers, ...vectors];

type Name = (typeof parameters)[number] | (typeof integers)[number] | (typeof vectors)[number];
type Code = readonly number[];

const get = (name: Name): Code => [0x20, names.indexOf(name)];
const set = (name: Name): Code => [0x21, names.indexOf(name)];
const i32 = (value: number): Code => [0x41, ...signedLeb(value)];
const copy = (from: Name, to: Name): Code => [...get(from), ...set(to)];
const increase = (name: Name, by: Code): Code => [...get(name), ...by, 0x6a, ...set(name)];
/** Counts `name` down and repeats `body` until it is 0. */
const repeat = (name: Name, body: Code): Code => [
  ...[0x03, 0x40, ...body],
  ...[...get(name), ...i32(1), 0x6b, 0x22, names.indexOf(name), 0x0d, 0, 0x0b],
];
const fourTimes = (name: Name): Code => [...get(name), ...i32(2), 0x74];
const loadI32: Code = [0x28, 2, 0];

const simd = (...opcode: number[]): Code => [0xfd, ...opcode];
const load32 = simd(0x5c, 0, 0);
const load64 = simd(0x5d, 0, 0);
const loadSecond32 = simd(0x56, 0, 0, 1);
const loadSplat32 = (offset: number) => simd(0x09, 2, offset);
const storeLane32 = (lane: Line) => simd(0x5a, 0, 0, lane);
const splat = simd(0x11);
const bytesToShorts = simd(0x89, 1);
/** Products of 16-bit numbers, each pair added: eight and eight → four of 32 bits. */
const dot = simd(0xba, 1);
const add = simd(0xae, 1);
const shiftLeft = simd(0xab, 1);
const shiftRight = simd(0xac, 1);
/** With saturation: what clips to 0..255. */
const intsToShorts = simd(0x85, 1);
const shortsToBytes = simd(0x66);
/** Bytes b and `distance` + b side by side, for b in 0..3. */
const interleave = (distance: number): Code => {
  const chosen = [0, 1, 2, 3].flatMap((b) => [b, distance + b]);
  return [...get("pixels"), ...get("pixels"), ...simd(0x0d, ...chosen, ...chosen)];
};

const accumulate = (sum: Name, part: "high" | "low"): Code => [
  ...[...get(sum), ...get("pixels"), ...get(part), ...dot, ...add],
  ...set(sum),
];

/** The four bytes of two taps of the line at `at`, as pairs of 16-bit numbers. Near taps come in one load. */
const loadPixels = (near: number | undefined): Code =>
  near === undefined
    ? [...get("at"), ...get("step"), 0x6a, ...get("at"), ...load32, ...loadSecond32, ...set("pixels"), ...interleave(4)]
    : [...get("at"), ...load64, ...set("pixels"), ...interleave(near)];

/** One output of a group of lines, whose taps lie `near` bytes apart, or anywhere. */
const output = (near: number | undefined): Code => [
  ...[...get("source"), ...get("nextFirst"), ...loadI32, 0x6a, ...set("from")],
  ...copy("nextWeights", "weight"),
  ...[...get("nextPairs"), ...loadI32, ...set("pairsLeft")],
  ...[...i32(1 << (precisionBits - 1)), ...splat, ...set("low0")],
  ...[...i32(0), ...splat, ...set("high0")],
  ...lines.slice(1).flatMap((l) => [...copy("low0", `low${l}`), ...copy("high0", `high${l}`)]),
  ...repeat("pairsLeft", [
    ...[...get("weight"), ...loadSplat32(0), ...set("high")],
    ...[...get("weight"), ...loadSplat32(4), ...set("low")],
    ...copy("from", "at"),
    ...lines.flatMap((l) => [
      ...[...loadPixels(near), ...bytesToShorts, ...set("pixels")],
      ...accumulate(`high${l}`, "high"),
      ...accumulate(`low${l}`, "low"),
      ...(l < 3 ? increase("at", get("below")) : []),
    ]),
    ...increase("from", [...get("step"), ...i32(1), 0x74]),
    ...increase("weight", i32(8)),
  ]),
  ...lines.flatMap((l) => [
    ...[...get(`high${l}`), ...i32(lowBits), ...shiftLeft, ...get(`low${l}`), ...add],
    ...[...i32(precisionBits), ...shiftRight, ...set(`high${l}`)],
  ]),
  ...[...get("high0"), ...get("high1"), ...intsToShorts],
  ...[...get("high2"), ...get("high3"), ...intsToShorts, ...shortsToBytes, ...set("pixels")],
  ...copy("nextOut", "at"),
  ...lines.flatMap((l) => [
    ...[...get("at"), ...get("pixels"), ...storeLane32(l)],
    ...(l < 3 ? increase("at", get("outBelow")) : []),
  ]),
];

const body = (near?: number): Code =>
  repeat("groups", [
    ...copy("first", "nextFirst"),
    ...copy("pairs", "nextPairs"),
    ...copy("weights", "nextWeights"),
    ...copy("out", "nextOut"),
    ...copy("outputs", "outputsLeft"),
    ...repeat("outputsLeft", [
      ...output(near),
      ...increase("nextFirst", i32(4)),
      ...increase("nextPairs", i32(4)),
      ...increase("nextWeights", get("weightsStep")),
      ...increase("nextOut", get("outStep")),
    ]),
    ...increase("source", fourTimes("below")),
    ...increase("out", fourTimes("outBelow")),
  ]);

function signedLeb(value: number): Code {
  const low = value & 0x7f;
  const rest = value >> 7;
  return rest === 0 && low < 0x40 ? [low] : [low | 0x80, ...signedLeb(rest)];
}

function unsignedLeb(value: number): Code {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsignedLeb(value >> 7)];
}

const sized = (content: Code): Code => [...unsignedLeb(content.length), ...content];
const section = (id: number, content: Code): Code => [id, ...sized(content)];
const text = (name: string): Code => sized([...name].map((letter) => letter.charCodeAt(0)));

/** The steps that there is a function for; the first is for any. */
const steps = [undefined, 1, 2, 3, 4] as const;

/** A module of these functions and one memory: magic and version, then type, function, memory, export and code sections. */
const moduleBytes = (): Uint8Array => {
  const functions = steps.map(body);
  const locals = [2, integers.length, 0x7f, vectors.length, 0x7b];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, ...sized(parameters.map(() => 0x7f)), 0]),
    ...section(3, [functions.length, ...functions.map(() => 0)]),
    ...section(5, [1, 0, 1]),
    ...section(7, [
      1 + functions.length,
      ...text("memory"),
      2,
      0,
      ...functions.flatMap((_, i) => [...text(`sums${i}`), 0, i]),
    ]),
    ...section(10, [functions.length, ...functions.flatMap((code) => sized([...locals, ...code, 0x0b]))]),
  ]);
};

let compiled: object | undefined;

/** A kernel with a memory of its own, of one page (64 KiB). */
export function createKernel(): Kernel {
  compiled ??= new WebAssembly.Module(moduleBytes());
  const exports = new WebAssembly.Instance(compiled).exports;
  const sums = steps.map((_, i) => exports[`sums${i}`]!);
  return {
    memory: exports.memory,
    sums: (args) => sums[args.step < sums.length ? args.step : 0]!(...parameters.map((name) => args[name])),
  };
}
