/**
 * @file What a source of pairs is, and several joined into one. Sources differ in where samples lie (shards, a table,
 * class folders) and agree in this: samples have indices, any may be read at any time, and what is wrong is told.
 */

/** One pair to learn from, the picture still encoded. */
export interface Sample {
  /** Names the sample in messages: its path, or its name in a shard. */
  readonly key: string;
  readonly image: Uint8Array;
  /** At least one. */
  readonly captions: readonly string[];
  /** Index into the source's `classes`, where it has classes. */
  readonly label?: number;
}

/** A kind of picture: how its folder (or `.cls` entry) is called, and what people call it. */
export interface ClassName {
  readonly key: string;
  readonly names: readonly string[];
}

export interface Source {
  readonly name: string;
  /** Number of samples. */
  readonly length: number;
  /** In label order; empty where captions are free text. */
  readonly classes: readonly ClassName[];
  /** What was passed over when the source was opened, one sentence each. */
  readonly problems: readonly string[];
  /** @throws DiptychError when this one sample cannot be used; others still can. */
  read(index: number): Promise<Sample>;
  /** A sample's captions, without its picture. @throws DiptychError as `read`. */
  captions(index: number): Promise<readonly string[]>;
  close(): Promise<void>;
}

/**
 * One source out of several, one behind the other, each taken `repeat` times an epoch (each time with its own caption and
 * augmentation). Labels of different sources mean different things, so the whole has none.
 */
export function joinSources(parts: readonly { readonly source: Source; readonly repeat: number }[]): Source {
  const ends: number[] = [];
  for (const { source, repeat } of parts) ends.push((ends.at(-1) ?? 0) + source.length * repeat);
  const length = ends.at(-1) ?? 0;

  const locate = (index: number): { source: Source; index: number } => {
    const part = ends.findIndex((end) => index < end);
    if (part < 0 || index < 0) throw new RangeError(`Sample ${index} is outside a source of ${length} samples.`);
    const { source } = parts[part]!;
    return { source, index: (index - (ends[part - 1] ?? 0)) % source.length };
  };
  return {
    name: parts.map(({ source }) => source.name).join(" + "),
    length,
    classes: [],
    problems: parts.flatMap(({ source }) => source.problems),
    read: async (index) => {
      const at = locate(index);
      const { key, image, captions } = await at.source.read(at.index);
      return { key, image, captions };
    },
    captions: (index) => {
      const at = locate(index);
      return at.source.captions(at.index);
    },
    close: async () => {
      await Promise.all(parts.map(({ source }) => source.close()));
    },
  };
}
