/** @file The tasks in Node: a CLIP from a file or folder, over ONNX Runtime's native library and a pool of workers. */
import { availableParallelism } from "node:os";
import { type Checkpoint, type HubOptions, type LoadOptions, loadCheckpoint } from "../checkpoint/node.js";
import { createPicturePool } from "../image/node.js";
import { integerRuntime, largestExactWeight, type Precision, type Runtime } from "../runtime/index.js";
import { laneRuntime, type NodeRuntimeOptions, nodeRuntime } from "../runtime/node.js";
import { loadClipTokenizer } from "../tokenizer/node.js";
import { type Clip, createClip, type PictureSource } from "./clip.js";

export interface LoadClipOptions extends LoadOptions, HubOptions, NodeRuntimeOptions {
  /** "int8": large products in 8-bit integers, about twice as fast on a CPU (docs/int8.md); "fp32" unless given. */
  readonly precision?: Precision;
  /** false leaves out the picture tower's last map, as linear probes want it; texts have no embeddings then. */
  readonly projection?: false;
}

/**
 * Opens a checkpoint: a folder that Diptych, open_clip or Hugging Face wrote, a file of weights, or a published model by
 * its name (`openai/clip-vit-base-patch32`, `ViT-B-32/laion2b_s34b_b79k`, `ViT-B/32`), downloaded once into the cache.
 * @throws DiptychError when the model cannot be got or read, or does not fit its configuration.
 */
export async function loadClip(
  name: string,
  {
    threads = availableParallelism(),
    device = "cpu",
    onCpuFallback,
    precision = "fp32",
    projection,
    ...options
  }: LoadClipOptions = {},
): Promise<Clip> {
  const read = await withClipTokenizer(await loadCheckpoint(name, options));
  const checkpoint = projection === false ? withoutProjection(read) : read;
  const runtime = nodeRuntime({ threads, device, ...(onCpuFallback && { onCpuFallback }) });
  const towerBytes = bytesOf(checkpoint, "visual.");
  const lanes = Math.min(threads, Math.floor(laneMemory / towerBytes));
  const crowd = device === "cpu" && lanes > 1 ? laneRuntime(lanes, Math.floor(threads / lanes)) : undefined;
  if (precision === "fp32") return createClip(checkpoint, runtime, pooledPictures(), crowd);
  const largest = await largestExactWeight(runtime);
  const inIntegers = (given: Runtime) => integerRuntime(given, largest);
  return createClip(checkpoint, inIntegers(runtime), pooledPictures(), crowd && inIntegers(crowd));
}

/** Bytes that copies of the picture tower's weights may have; a session holds about twice that while it is open. */
const laneMemory = 2 ** 30;

const bytesOf = ({ parameters }: Checkpoint, prefix: string): number =>
  [...parameters].reduce((sum, [name, { data }]) => (name.startsWith(prefix) ? sum + data.byteLength : sum), 0);

/** Pictures as they are before the projection; where pooling makes the embedding (ResNets, SigLIP), that is all there is. */
function withoutProjection(checkpoint: Checkpoint): Checkpoint {
  const { config } = checkpoint;
  const { image } = config;
  if (image.kind === "resnet" || image.attentionPool) return checkpoint;
  return { ...checkpoint, config: { ...config, embedSize: image.width, image: { ...image, projection: false } } };
}

/** CLIP's own vocabulary: a checkpoint of this size without tokenizer files means that one. */
const clipVocabularySize = 49408;

/** The checkpoint, with CLIP's own tokenizer where it brings none and its vocabulary has that size. */
export async function withClipTokenizer(checkpoint: Checkpoint): Promise<Checkpoint> {
  if (checkpoint.tokenizer || checkpoint.config.text.vocabularySize !== clipVocabularySize) return checkpoint;
  return { ...checkpoint, tokenizer: await loadClipTokenizer() };
}

/** Decoding and cropping in worker threads, which start with the first picture. */
function pooledPictures(): PictureSource {
  let pool: ReturnType<typeof createPicturePool> | undefined;
  return {
    crop: (source, config) => {
      pool ??= createPicturePool();
      return pool.run({ source, task: "crop", config });
    },
    dispose: async () => pool?.dispose(),
  };
}
