/**
 * @file A checkpoint as two ONNX models, one a tower, of standard operators alone: for transformers.js, and whatever else
 * runs ONNX. Names of files, inputs and outputs are those of Hugging Face's exporter (optimum) for
 * `CLIPTextModelWithProjection` and `CLIPVisionModelWithProjection`, `SiglipTextModel` and `SiglipVisionModel`;
 * embeddings are not normalised, as there.
 * Leaves out: half precision, and the outputs before pooling.
 */
import { type ClipConfig, imageEncoder, textEncoder } from "../clip/index.js";
import { DiptychError } from "../errors.js";
import { type OnnxOptions, onnxModel, simplify, type Tensor } from "../graph/index.js";
import type { Checkpoint } from "./checkpoint.js";
import { toHuggingFaceConfig } from "./huggingFace.js";
import type { WrittenType } from "./safetensors.js";
import { isSiglip } from "./siglip.js";

interface Tower {
  readonly outputs: (config: ClipConfig) => Readonly<Record<string, Tensor>>;
  readonly inputs: NonNullable<OnnxOptions["inputs"]>;
  readonly owns: (parameter: string) => boolean;
}

type Constants = NonNullable<OnnxOptions["constants"]>;

const isImage = (name: string): boolean => name.startsWith("visual.");

/** SigLIP has no projection behind what is pooled, and its classes there no name for one. */
const outputName = (config: ClipConfig, tower: "text" | "image"): string =>
  isSiglip(config) ? "pooler_output" : `${tower}_embeds`;

const towers: Readonly<Record<string, Tower>> = {
  text_model: {
    outputs: (config) => ({ [outputName(config, "text")]: textEncoder(config, "batch_size").text_features }),
    inputs: { ids: { name: "input_ids", dtype: "int64" } },
    owns: (name) => !isImage(name),
  },
  vision_model: {
    outputs: (config) => ({ [outputName(config, "image")]: imageEncoder(config, "batch_size").image_features }),
    inputs: { pixels: { name: "pixel_values", dtype: "float32" } },
    owns: isImage,
  },
};

/** Protobuf counts a file's bytes in 31 bits; what is not weights takes less than 64 MB. */
const largestWeights = 2 ** 31 - 2 ** 26;
/** Weights apart start at multiples of a page, so that a runtime may map them into memory. */
const page = 4096;

export interface OnnxTowers {
  readonly files: Readonly<Record<string, Iterable<Uint8Array>>>;
  /** `config.json`, in which transformers.js looks for the model's kind and for weights that lie apart. */
  readonly config: object;
}

/**
 * `onnx/text_model.onnx` and `onnx/vision_model.onnx`, each with its weights inside, or, where they are larger than
 * `limit` bytes, in a file of the same name with `_data` behind it.
 * @throws DiptychError `CannotExpress` for any number format but float32.
 */
export function onnxTowers(
  { config, parameters }: Pick<Checkpoint, "config" | "parameters">,
  dtype: WrittenType,
  limit = largestWeights,
): OnnxTowers {
  if (dtype !== "F32") {
    throw new DiptychError(
      "CannotExpress",
      `ONNX files are written in float32, not in ${dtype}.`,
      "Leave out the number format.",
    );
  }
  const files: Record<string, Iterable<Uint8Array>> = {};
  const apart: Record<string, number> = {};
  for (const [name, { outputs, inputs, owns }] of Object.entries(towers)) {
    const file = `${name}.onnx`;
    const data = `${file}_data`;
    const own = new Map([...parameters].filter(([parameter]) => owns(parameter)));
    const size = [...own.values()].reduce((bytes, parameter) => bytes + parameter.data.byteLength, 0);
    const constants = size > limit ? placed(own, data) : own;
    files[`onnx/${file}`] = lazily(() => onnxModel(simplify(outputs(config)), { inputs, constants }));
    if (size > limit) {
      files[`onnx/${data}`] = externalData(constants);
      apart[file] = 1;
    }
  }
  const settings =
    Object.keys(apart).length > 0 ? { "transformers.js_config": { use_external_data_format: apart } } : {};
  return { files, config: { ...description(config), ...settings } };
}

/** All that transformers' config can say, else (a ResNet, open_clip's variants) the kind alone: the programs say the rest. */
function description(config: ClipConfig): object {
  try {
    return toHuggingFaceConfig(config);
  } catch (error) {
    if (!(error instanceof DiptychError) || error.code !== "CannotExpress") throw error;
    return { architectures: ["CLIPModel"], model_type: "clip", projection_dim: config.embedSize };
  }
}

/** Gives each its place in `file`. */
function placed(parameters: Constants, file: string): Constants {
  let end = 0;
  return new Map(
    [...parameters].map(([name, { data, shape }]) => {
      const offset = Math.ceil(end / page) * page;
      end = offset + data.byteLength;
      return [name, { data, shape, external: { file, offset } }];
    }),
  );
}

function* externalData(constants: Constants): Generator<Uint8Array> {
  let end = 0;
  for (const { data, external } of constants.values()) {
    yield new Uint8Array(external!.offset - end);
    yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    end = external!.offset + data.byteLength;
  }
}

/** Made when it is written, so that only one tower's bytes are in memory at a time. */
function* lazily(make: () => Uint8Array): Generator<Uint8Array> {
  yield make();
}
