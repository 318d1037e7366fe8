/**
 * @file What a source of pairs is, and several joined into one. Sources differ in where samples lie (shards, a table,
 * class folders) and agree in this: samples have indices, any may be read at any time, and what is wrong is told.
 */
import { DiptychError } from "../errors.js";
import { epochPermutation } from "./order.js";
import type { TaughtPair } from "./teacher.js";

/** One pair to learn from, the picture still encoded. */
export interface Sample {
  /** Names the sample in messages: its path, or its name in a shard. */
  readonly key: string;
  readonly image: Uint8Array;
  /** At least one. */
  readonly captions: readonly string[];
  /** Index into the source's `classes`, where it has classes. */
  readonly label?: number;
  /** What a larger CLIP makes of the picture and one of the captions, where there is one to learn from. */
  readonly teacher?: (caption: string) => Promise<TaughtPair>;
}

/** A kind of picture: how its folder (or `.cls` entry) is called, and what people call it. */
export interface ClassName {
  readonly key: string;
  readonly names: readonly string[];
}

export interface Source {
  readonly name: string;
  /** Number of samples in an epoch. */
  readonly length: number;
  /** In label order; empty where captions are free text. */
  readonly classes: readonly ClassName[];
  /** What was passed over when the source was opened, one sentence each. */
  readonly problems: readonly string[];
  /**
   * @param epoch 0 unless given; where sources are joined by weight, an index stands for another sample in another epoch
   * @throws DiptychError when this one sample cannot be used; others still can. SourceUnavailable when the source is out
   * of reach: to go on without it would make another run.
   */
  read(index: number, epoch?: number): Promise<Sample>;
  /** A sample's captions, without its picture. @throws DiptychError as `read`. */
  captions(index: number, epoch?: number): Promise<readonly string[]>;
  close(): Promise<void>;
}

/** No sample can be read at the moment, through no fault of its own. */
export class SourceUnavailable extends DiptychError {
  constructor(problem: string, remedy: string, cause?: unknown) {
    super("SourceUnavailable", problem, remedy, { cause });
  }
}

/**
 * One source out of several, one behind the other. An epoch takes `weight` times a source's length from it: from an endless
 * row of passes over it, each in its own order, the next so many. So of a weight of 0.3 every sample is seen once before
 * any is seen twice, and of 3 each is seen three times an epoch (each time with its own caption and augmentation).
 * Labels of different sources mean different things, so the whole has none.
 */
export function joinSources(parts: readonly { readonly source: Source; readonly weight: number }[]): Source {
  const shares = parts.map(({ source, weight }) => Math.max(1, Math.round(source.length * weight)));
  const ends: number[] = [];
  for (const share of shares) ends.push((ends.at(-1) ?? 0) + share);
  const length = ends.at(-1) ?? 0;

  const locate = (index: number, epoch: number): { source: Source; index: number } => {
    const part = ends.findIndex((end) => index < end);
    if (part < 0 || index < 0) throw new RangeError(`Sample ${index} is outside a source of ${length} samples.`);
    const { source } = parts[part]!;
    const draw = epoch * shares[part]! + index - (ends[part - 1] ?? 0);
    const order = epochPermutation(part, Math.floor(draw / source.length), source.length);
    return { source, index: order(draw % source.length) };
  };
  return {
    name: parts.map(({ source }) => source.name).join(" + "),
    length,
    classes: [],
    problems: parts.flatMap(({ source }) => source.problems),
    read: async (index, epoch = 0) => {
      const at = locate(index, epoch);
      const { label: _, ...sample } = await at.source.read(at.index);
      return sample;
    },
    captions: (index, epoch = 0) => {
      const at = locate(index, epoch);
      return at.source.captions(at.index);
    },
    close: async () => {
      await Promise.all(parts.map(({ source }) => source.close()));
    },
  };
}
