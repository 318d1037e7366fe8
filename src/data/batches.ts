/**
 * @file Training batches without end: pictures decoded ahead in a pool of workers, captions as ids.
 * A batch is a function of (source, seed, epoch, step, rank): a resumed run equals the uninterrupted one bit for bit.
 * What cannot be read is replaced by the sample at the next position of the epoch's order, which is such a function too.
 */
import { crc32 } from "node:zlib";
import { DiptychError } from "../errors.js";
import { type Augmentation, normalise, type PreprocessConfig } from "../image/index.js";
import type { PicturePool } from "../image/node.js";
import { markedIds, type Tokenizer } from "../tokenizer/index.js";
import { rowKeys } from "./group.js";
import { chooseCaption, epochPermutation } from "./order.js";
import { type Source, SourceUnavailable } from "./source.js";
import type { TaughtPair } from "./teacher.js";

/** This process's B pairs of a step, H×W pixels, L tokens; shorter texts come first. */
export interface Batch {
  /** `[B, 3, H, W]` */
  readonly pixels: Float32Array;
  /** `[B, L]`: start, ids, end, padding */
  readonly ids: Int32Array;
  /** L: this batch's longest text, rounded up to a multiple of 4 so that few shapes occur, at most the context length. */
  readonly length: number;
  /** `[B]`, ascending: tokens of each text, so that rows taken together may be cut to their last one's. L where padding matters. */
  readonly lengths: Int32Array;
  /** B */
  readonly size: number;
  /** The captions as they were given, before the tokenizer. */
  readonly captions: readonly string[];
  /** `[B]`: CRC-32 of the pictures' files; rows of one number show the same file. */
  readonly checksums: Uint32Array;
  /** `[B, 4]`: for `groupRows`, which tells the rows that say the same. */
  readonly keys: Int32Array;
  /** What a larger CLIP embeds these pairs as, `[B, W]` each, where the source has a teacher. */
  readonly teacher?: { readonly image: Float32Array; readonly text: Float32Array };
  readonly position: Position;
  /** How many of its texts were longer than the context. */
  readonly truncated: number;
}

/** Where a run stands: both count from 0, `step` within its epoch. */
export interface Position {
  readonly epoch: number;
  readonly step: number;
}

export interface BatchOptions {
  /** Pairs in a step, of all ranks together. */
  readonly batchSize: number;
  readonly seed: number;
  readonly tokenizer: Tokenizer;
  readonly contextLength: number;
  /** "context" for models to which padding matters; the batch's longest text unless given. */
  readonly padTo?: "longest" | "context";
  readonly preprocess: PreprocessConfig;
  /** Null: the centre crop, as in evaluation. */
  readonly augment: Augmentation | null;
  readonly pool: PicturePool;
  /** Which of the processes this is that share each step's pairs: rank r takes the r-th of `size` equal parts. */
  readonly ranks?: { readonly rank: number; readonly size: number };
  /** The first batch's position: that behind the last one trained on. */
  readonly start?: Position;
  /** Batches whose pictures are in the workers' hands while one is trained on. */
  readonly prefetch?: number;
  /** Told once for each sample that cannot be read. */
  readonly onUnreadable?: (error: DiptychError) => void;
}

/** So many samples in a row that cannot be read are no accident. */
const mostUnreadable = 100;

/** Steps in an epoch; the last incomplete batch is left out (other epochs leave out other samples). */
export const stepsPerEpoch = (length: number, batchSize: number): number => Math.floor(length / batchSize);

/**
 * Batches from `start` on, epoch after epoch. Closing the generator (leaving its loop) waits for reads that are under way.
 * @throws DiptychError "TooFewSamples" when the source does not fill one batch, "NothingReadable"
 */
export async function* batches(source: Source, options: BatchOptions): AsyncGenerator<Batch, void> {
  const { prefetch = 2 } = options;
  const submit = submitter(source, options);
  const queue: Promise<SubmittedBatch>[] = [];
  try {
    for (const position of positions(source.length, options)) {
      const submitted = submit(position);
      submitted.catch(() => {}); // thrown when its turn comes
      queue.push(submitted);
      if (queue.length <= prefetch) continue;
      const batch = await finish(await queue.shift()!, options);
      await Promise.allSettled(queue); // the workers must hold their jobs before a running model blocks this thread
      yield batch;
    }
  } finally {
    await Promise.allSettled(queue);
  }
}

function* positions(length: number, { batchSize, start }: BatchOptions): Generator<Position, undefined> {
  const steps = stepsPerEpoch(length, batchSize);
  if (steps === 0) {
    const problem = `${length} samples do not fill a batch of ${batchSize}.`;
    throw new DiptychError("TooFewSamples", problem, "Take a smaller batch, or give the source a larger weight.");
  }
  for (let epoch = start?.epoch ?? 0, step = start?.step ?? 0; ; step++) {
    if (step >= steps) {
      epoch++;
      step = 0;
    }
    yield { epoch, step };
  }
}

/** A pair whose picture is with the pool. */
interface SubmittedRow {
  readonly crop: Promise<Uint8Array>;
  readonly checksum: number;
  readonly caption: string;
  readonly captions: readonly string[];
  readonly taught?: TaughtPair;
  /** The row with the next sample instead, for when `crop` fails; throws what is not the sample's fault. */
  replace(error: unknown): Promise<SubmittedRow>;
}

interface SubmittedBatch {
  readonly position: Position;
  readonly rows: readonly SubmittedRow[];
}

/** Reads a batch's samples and gives their pictures to the pool; resolves when the pool has all of them. */
function submitter(source: Source, options: BatchOptions): (position: Position) => Promise<SubmittedBatch> {
  const { batchSize, seed, pool, augment, preprocess: config, ranks = { rank: 0, size: 1 } } = options;
  const size = batchSize / ranks.size;
  if (!Number.isInteger(size)) {
    const problem = `A batch of ${batchSize} cannot be shared out among ${ranks.size} processes.`;
    throw new DiptychError("UnevenBatch", problem, `Take a batch that is a multiple of ${ranks.size}.`);
  }
  const told = new Set<string>();

  const submitRow = async (
    epoch: number,
    order: (position: number) => number,
    place: number,
    attempt = 0,
  ): Promise<SubmittedRow> => {
    const index = order((place + attempt) % source.length);
    const replace = (error: unknown): Promise<SubmittedRow> => {
      if (!(error instanceof DiptychError) || error instanceof SourceUnavailable) throw error;
      if (!told.has(error.message)) options.onUnreadable?.(error);
      told.add(error.message);
      if (attempt + 1 === mostUnreadable) throw nothingReadable(source, error);
      return submitRow(epoch, order, place, attempt + 1);
    };
    try {
      const { key, image, captions, teacher } = await source.read(index, epoch);
      const caption = chooseCaption(captions, seed, epoch, index);
      const taught = await teacher?.(caption);
      const crop = pool.run({
        source: image,
        name: key,
        config,
        ...(augment ? { task: "augment", ...augment, seed: [seed, epoch, index] } : { task: "crop" }),
      });
      crop.catch(() => {}); // awaited later, by finish
      return { crop, checksum: crc32(image), caption, captions, ...(taught && { taught }), replace };
    } catch (error) {
      return replace(error);
    }
  };

  return async ({ epoch, step }) => {
    const order = epochPermutation(seed, epoch, source.length);
    const first = step * batchSize + ranks.rank * size;
    const rows = Array.from({ length: size }, (_, row) => submitRow(epoch, order, first + row));
    return { position: { epoch, step }, rows: await Promise.all(rows) };
  };
}

function nothingReadable(source: Source, cause: DiptychError): DiptychError {
  const problem = `${mostUnreadable} samples of ${source.name} in a row cannot be read; the last: ${cause.problem}`;
  return new DiptychError("NothingReadable", problem, cause.remedy, { cause });
}

/** Waits for the pictures and lays out the batch. */
async function finish({ position, rows }: SubmittedBatch, options: BatchOptions): Promise<Batch> {
  const { tokenizer, contextLength, preprocess } = options;
  const pairs = (await Promise.all(rows.map(cropped)))
    .map((pair) => ({ ...pair, text: markedIds(tokenizer, pair.row.caption, contextLength) }))
    .sort((a, b) => a.text.ids.length - b.text.ids.length);
  return {
    pixels: normalise(
      pairs.map(({ crop }) => crop),
      preprocess,
    ),
    ...layTexts(
      pairs.map(({ text }) => text.ids),
      options,
    ),
    size: pairs.length,
    captions: pairs.map(({ row }) => row.caption),
    checksums: Uint32Array.from(pairs, ({ row }) => row.checksum),
    keys: rowKeys(pairs.map(({ row, text }) => ({ says: text.ids.join(" "), couldSay: row.captions.join("\n") }))),
    ...teacherOf(pairs.flatMap(({ row }) => row.taught ?? [])),
    position,
    // training cuts long captions, as the references' training does
    truncated: pairs.filter(({ text }) => text.length > contextLength).length,
  };
}

async function cropped(row: SubmittedRow): Promise<{ row: SubmittedRow; crop: Uint8Array }> {
  try {
    return { row, crop: await row.crop };
  } catch (error) {
    return cropped(await row.replace(error));
  }
}

function teacherOf(rows: readonly TaughtPair[]): Pick<Batch, "teacher"> {
  const [first] = rows;
  if (!first) return {};
  const stacked = (side: keyof TaughtPair): Float32Array => {
    const data = new Float32Array(rows.length * first[side].length);
    for (const [i, row] of rows.entries()) data.set(row[side], i * first[side].length);
    return data;
  };
  return { teacher: { image: stacked("image"), text: stacked("text") } };
}

function layTexts(
  rows: readonly (readonly number[])[],
  { tokenizer, contextLength, padTo = "longest" }: BatchOptions,
): Pick<Batch, "ids" | "length" | "lengths"> {
  const longest = rows.at(-1)?.length ?? 0;
  const length = padTo === "context" ? contextLength : Math.min(Math.ceil(longest / 4) * 4, contextLength);
  const ids = new Int32Array(rows.length * length).fill(tokenizer.padId);
  for (const [i, row] of rows.entries()) ids.set(row, i * length);
  return { ids, length, lengths: Int32Array.from(rows, (row) => (padTo === "context" ? length : row.length)) };
}
