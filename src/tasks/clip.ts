/**
 * @file A CLIP held open: pictures and texts in, embeddings out. Programs are compiled when first needed, so who only
 * embeds texts never builds the picture tower. Runs wherever its runtime does; how pictures are decoded is passed in.
 * Leaves out: training, files (`node.ts` loads them).
 *
 * Shapes: N pictures, M texts, E embedding size, H×W the model's input, L tokens.
 */
import type { Checkpoint } from "../checkpoint/index.js";
import { type ClipConfig, ignoresPadding, imageEncoder, inputSides, textEncoder } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import { cropPicture, cropSize, normalise, type Picture, type PreprocessConfig } from "../image/index.js";
import type { Program, Runtime, TensorData } from "../runtime/index.js";
import { type Tokenizer, tokenize } from "../tokenizer/index.js";
import { type Matrix, normaliseRows } from "./matrix.js";

/** A path, a file's bytes, or a picture decoded already (the only one that needs no `PictureSource`). */
export type ImageInput = string | Uint8Array | Picture;

/** Decodes and crops off the main thread: a pool of workers in Node. */
export interface PictureSource {
  /** RGB bytes [H, W, 3]; called for many pictures before the first is awaited. */
  crop(source: string | Uint8Array, config: PreprocessConfig): Promise<Uint8Array>;
  dispose(): Promise<void>;
}

export interface EmbedImagesOptions {
  /** Called for a picture that cannot be read; its row stays zero. Without it the first such picture is an error. */
  readonly onUnreadable?: (error: DiptychError, index: number) => void;
  /** Called after each batch with how many pictures are done. */
  readonly onProgress?: (done: number) => void;
}

export interface EmbedTextsOptions {
  /** Cuts texts that are longer than the model's context; without it they are an error. */
  readonly truncate?: boolean;
}

export interface Clip {
  readonly config: ClipConfig;
  /** @throws DiptychError `NoTokenizer` where the checkpoint came without one. */
  readonly tokenizer: Tokenizer;
  /** What `preprocess` does to a picture. */
  readonly preprocessConfig: PreprocessConfig;
  /** The factor before the softmax, exp of the trained parameter: 100 for OpenAI's models. */
  readonly logitScale: number;
  /** Added to every logit by models that judge each pair alone (SigLIP), null in CLIP. */
  readonly logitBias: number | null;
  /** L2-normalised embeddings [N, E], of any number of pictures. Decoding overlaps the model. */
  embedImages(images: readonly ImageInput[], options?: EmbedImagesOptions): Promise<Matrix>;
  /** L2-normalised embeddings [M, E], of any number of texts. */
  embedTexts(texts: readonly string[], options?: EmbedTextsOptions): Promise<Matrix>;
  /** Pixels [N, 3, H, W] as `preprocess` makes them → features [N, E] before normalisation. */
  encodeImage(pixels: { readonly data: Float32Array; readonly shape: readonly number[] }): Promise<Matrix>;
  /** Token ids [M, L], start and end markers included → features [M, E] before normalisation. */
  encodeText(ids: { readonly data: Int32Array; readonly shape: readonly number[] }): Promise<Matrix>;
  /** The resized, cropped and normalised pixels of one picture, [1, 3, H, W]. */
  preprocess(image: ImageInput): Promise<{ data: Float32Array; shape: [1, 3, number, number] }>;
  /** Ends the sessions and the picture source. */
  dispose(): Promise<void>;
}

/** Pictures in a run: enough to fill the matrix products, few enough that decoding the next ones overlaps well. */
const picturesPerRun = 8;
/** Runs whose pictures are being decoded while the model, which blocks the thread, works on one. */
const runsAhead = 2;
/** Tokens in a run of the text tower. */
const tokensPerRun = 2048;

/** So many pictures of one call are embedded by several runs at a time, where there is a runtime for that. */
const crowdOfPictures = 32;

/** @param crowdRuntime embeds many pictures, if it can run several batches at once; `runtime` does the rest. */
export function createClip(
  checkpoint: Checkpoint,
  runtime: Runtime,
  pictures?: PictureSource,
  crowdRuntime?: Runtime,
): Clip {
  const { config, preprocess: preprocessConfig, parameters } = checkpoint;
  const [height, width] = cropSize(preprocessConfig);
  const { embedSize } = config;
  const imageTowerOver = (by: Runtime) =>
    lazyProgram(() => by.compile(imageEncoder(config), { constants: parameters }), by.lanes);
  const imageTower = imageTowerOver(runtime);
  const crowdTower = crowdRuntime && imageTowerOver(crowdRuntime);
  const textTower = lazyProgram(() => runtime.compile(textEncoder(config), { constants: parameters }), runtime.lanes);

  const pixelsOfPicture = 3 * height * width;
  /** Memory for a batch's pixels that no run is using: taken again rather than left to the garbage collector. */
  const spareRooms: Float32Array[] = [];

  const clip: Clip = {
    config,
    preprocessConfig,
    logitScale: Math.exp(parameters.get("logit_scale")!.data[0]!),
    logitBias: parameters.get("logit_bias")?.data[0] ?? null,

    get tokenizer() {
      if (checkpoint.tokenizer) return checkpoint.tokenizer;
      throw new DiptychError(
        "NoTokenizer",
        "The checkpoint has no tokenizer, and its vocabulary is not CLIP's own.",
        "Put its tokenizer.json, or vocab.json and merges.txt, beside the weights (of a spiece.model, transformers makes one: AutoTokenizer.from_pretrained(NAME).save_pretrained(FOLDER)), or give token ids to encodeText.",
      );
    },

    async embedImages(images, { onUnreadable, onProgress } = {}) {
      const data = new Float32Array(images.length * embedSize);
      const tower = crowdTower && images.length >= crowdOfPictures ? crowdTower : imageTower;
      const batches = begunAhead(runsOf(images.length, tower.lanes), runsAhead, ({ start, end }) =>
        Promise.allSettled(images.slice(start, end).map((image) => crop(image))),
      );
      let done = 0;
      const work = async () => {
        for (const [{ start }, cropping] of batches) {
          const settled = await cropping;
          const readable: number[] = [];
          const crops: Uint8Array[] = [];
          for (const [i, result] of settled.entries()) {
            if (result.status === "fulfilled") {
              readable.push(start + i);
              crops.push(result.value);
            } else {
              const error = unreadable(result.reason, start + i);
              if (onUnreadable === undefined || !(error instanceof DiptychError)) throw error;
              onUnreadable(error, start + i);
            }
          }
          if (crops.length > 0) {
            const room = spareRooms.pop() ?? new Float32Array(picturesPerRun * pixelsOfPicture);
            const pixels = normalise(crops, preprocessConfig, room.subarray(0, crops.length * pixelsOfPicture));
            const features = await imageFeatures(tower, { data: pixels, shape: [crops.length, 3, height, width] });
            spareRooms.push(room);
            scatter(normaliseRows(features), readable, data);
          }
          done += settled.length;
          onProgress?.(done);
        }
      };
      // With several lanes, one batch more, so that a lane finds its next one waiting.
      await Promise.all(Array.from({ length: tower.lanes > 1 ? tower.lanes + 1 : 1 }, work));
      return { data, shape: [images.length, embedSize] };
    },

    async embedTexts(texts, { truncate = false } = {}) {
      const data = new Float32Array(texts.length * embedSize);
      const { contextLength } = config.text;
      const cut = ignoresPadding(config);
      const ids = tokenize(clip.tokenizer, texts, { contextLength, truncate, padTo: cut ? "longest" : "context" });
      for (const rows of batchesByLength(ids, cut ? clip.tokenizer.endId : null)) {
        const features = await clip.encodeText(rows.ids);
        scatter(normaliseRows(features), rows.indices, data);
      }
      return { data, shape: [texts.length, embedSize] };
    },

    async encodeImage({ data, shape }) {
      expectShape("pixels", data, shape, [shape[0] ?? 0, 3, ...inputSides(config)]);
      return imageFeatures(imageTower, { data, shape });
    },

    async encodeText({ data, shape }) {
      const { contextLength, vocabularySize } = config.text;
      expectShape("ids", data, shape, [shape[0] ?? 0, Math.min(shape[1] ?? 0, contextLength)]);
      const foreign = data.find((id) => id < 0 || id >= vocabularySize);
      if (foreign !== undefined) {
        throw new DiptychError(
          "UnknownTokenId",
          `Token id ${foreign} is outside this model's vocabulary of ${vocabularySize}.`,
          "Use the model's own tokenizer: clip.tokenizer.",
        );
      }
      const { text_features } = await (await textTower.get()).run({ ids: { data, shape } });
      return asMatrix(text_features!);
    },

    async preprocess(image) {
      return { data: normalise([await crop(image)], preprocessConfig), shape: [1, 3, height, width] };
    },

    async dispose() {
      await Promise.all([imageTower, crowdTower, textTower, pictures].map((held) => held?.dispose()));
    },
  };
  return clip;

  async function crop(image: ImageInput): Promise<Uint8Array> {
    if (typeof image !== "string" && !(image instanceof Uint8Array)) return cropPicture(image, preprocessConfig);
    if (pictures) return pictures.crop(image, preprocessConfig);
    throw new DiptychError(
      "NoDecoder",
      "This clip was created without a picture source, so it cannot decode files.",
      "Give it decoded pictures, or pass a picture source to createClip.",
    );
  }
}

async function imageFeatures(tower: LazyProgram, pixels: TensorData): Promise<Matrix> {
  const { image_features } = await (await tower.get()).run({ pixels });
  return asMatrix(image_features!);
}

/**
 * Runs of `picturesPerRun`; of several lanes, the last ones ever smaller, so that no lane is still at a long one when the
 * others have nothing left to do.
 */
function runsOf(pictures: number, lanes: number): { readonly start: number; readonly end: number }[] {
  const runs = [];
  for (let start = 0, end: number; start < pictures; start = end) {
    const share = lanes > 1 ? Math.max(2, Math.ceil((pictures - start) / (2 * lanes))) : picturesPerRun;
    end = Math.min(pictures, start + Math.min(picturesPerRun, share));
    runs.push({ start, end });
  }
  return runs;
}

/** Each item in order with what `begin` made of it, which was called for `ahead` more items by then. */
function* begunAhead<T, R>(items: readonly T[], ahead: number, begin: (item: T) => R): Generator<[T, R]> {
  const begun: R[] = [];
  for (const [i, item] of items.entries()) {
    while (begun.length <= ahead && i + begun.length < items.length) begun.push(begin(items[i + begun.length]!));
    yield [item, begun.shift()!];
  }
}

interface LazyProgram {
  /** How many runs it works on at a time. */
  readonly lanes: number;
  get(): Promise<Program>;
  dispose(): Promise<void>;
}

/** A program compiled at the first `get` and kept until `dispose`. */
function lazyProgram(compile: () => Promise<Program>, lanes = 1): LazyProgram {
  let program: Promise<Program> | undefined;
  let disposed = false;
  return {
    lanes,
    async get() {
      if (disposed) throw new DiptychError("Disposed", "This clip was disposed of.", "Load it again.");
      program ??= compile();
      return program;
    },
    async dispose() {
      if (!disposed) {
        disposed = true;
        await (await program)?.dispose();
      }
    },
  };
}

/**
 * The rows of `ids` [M, L] in runs of similar length, each cut to its own longest: with a causal mask the padding behind
 * the end token changes nothing, and most texts are far shorter than the context.
 */
function batchesByLength(
  ids: { readonly data: Int32Array; readonly shape: readonly [number, number] },
  endId: number | null,
): { indices: number[]; ids: { data: Int32Array; shape: [number, number] } }[] {
  const [count, stride] = ids.shape;
  const rowOf = (i: number): Int32Array => ids.data.subarray(i * stride, (i + 1) * stride);
  const lengths = Array.from({ length: count }, (_, i) => (endId === null ? stride : rowOf(i).lastIndexOf(endId) + 1));
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[a]! - lengths[b]!);
  const batches = [];
  for (let from = 0; from < count; ) {
    let to = from;
    while (to < count && (to === from || (to - from + 1) * lengths[order[to]!]! <= tokensPerRun)) to++;
    const indices = order.slice(from, to);
    const length = lengths[indices.at(-1)!]!;
    const data = new Int32Array(indices.length * length);
    indices.forEach((i, row) => {
      data.set(rowOf(i).subarray(0, length), row * length);
    });
    batches.push({ indices, ids: { data, shape: [indices.length, length] as [number, number] } });
    from = to;
  }
  return batches;
}

/** Row k of `rows` becomes row `indices[k]` of `into`. */
function scatter({ data, shape: [, width] }: Matrix, indices: readonly number[], into: Float32Array): void {
  indices.forEach((index, k) => {
    into.set(data.subarray(k * width, (k + 1) * width), index * width);
  });
}

function asMatrix({ data, shape }: { readonly data: unknown; readonly shape: readonly number[] }): Matrix {
  if (!(data instanceof Float32Array) || shape.length !== 2) throw new TypeError("a tower gave no float32 matrix");
  return { data, shape: [shape[0]!, shape[1]!] };
}

function expectShape(
  name: string,
  data: { readonly length: number },
  shape: readonly number[],
  expected: readonly number[],
): void {
  const size = shape.reduce((a, b) => a * b, 1);
  if (shape.length === expected.length && shape.every((dim, i) => dim === expected[i]) && data.length === size) return;
  throw new DiptychError(
    "WrongShape",
    `${name} has shape [${shape.join(", ")}] and ${data.length} values; this model reads [${["N", ...expected.slice(1)].join(", ")}].`,
    "Make the shape fit the data and the model.",
  );
}

/** The error of one picture among many, saying which it is. */
function unreadable(reason: unknown, index: number): unknown {
  if (!(reason instanceof DiptychError)) return reason;
  return new DiptychError(reason.code, `Picture ${index}: ${reason.problem}`, reason.remedy, { cause: reason });
}
