/**
 * @file Brings stored tensors and a config together: every parameter of the model must be there in its shape, and nothing
 * else. Only shapes are looked at first, so a file that does not fit is refused before its numbers are read.
 */
import { type ClipConfig, clipSchema, parameterTable } from "../clip/index.js";
import { DiptychError, nearestName } from "../errors.js";
import type { Parameter } from "./checkpoint.js";
import { checkJson } from "./json.js";
import { type Dialect, storedAs, unused } from "./names.js";
import { elementCount, readTensor, type StoredTensor } from "./storage.js";

/** A parameter and the tensors that, stacked along the first axis, hold it. */
export interface Fitted {
  readonly name: string;
  readonly shape: readonly number[];
  readonly parts: readonly StoredTensor[];
}

/** @throws DiptychError `BadConfig` for sizes that no model has, `DoesNotFit`, naming the first parameter that is missing, misshapen or too many. */
export function fitParameters(
  config: ClipConfig,
  tensors: readonly StoredTensor[],
  dialect: Dialect,
  file: string,
): Fitted[] {
  checkJson(clipSchema, config, `The config of ${file}`);
  // a model is traced to know its parameters: a config must not ask for a billion layers
  const layers = [config.image.layers, config.text.layers].flat().reduce((a, b) => a + b);
  if (layers > tensors.length)
    throw doesNotFit(`The config has ${layers} layers, and ${file} only ${tensors.length} tensors`);

  const stored = new Map(
    tensors
      .filter(({ name }) => !unused.some(([pattern]) => pattern.test(name)))
      .map((tensor) => [tensor.name, tensor]),
  );
  const fitted = parameterTable(config).map(({ name, shape }): Fitted => {
    const { parts, transposed } = storedAs(dialect, name, shape);
    const found = parts.map((part) => {
      const tensor = stored.get(part.name);
      if (!tensor) {
        const near = nearestName(part.name, [...stored.keys()].slice(0, 1000));
        throw doesNotFit(
          `${file} has no tensor ${part.name} of shape [${part.shape}]; the nearest name in it is ${near}`,
        );
      }
      stored.delete(part.name);
      if (!equal(inner(tensor.shape), inner(part.shape))) {
        throw doesNotFit(
          `Tensor ${part.name} in ${file} has shape [${tensor.shape}], and the config asks for [${part.shape}]`,
        );
      }
      return transposed ? transpose(tensor) : tensor;
    });
    return { name, shape, parts: found };
  });
  const [extra] = stored.values();
  if (extra)
    throw doesNotFit(`${file} has a tensor ${extra.name} of shape [${extra.shape}] that the config has no place for`);
  return fitted;
}

export async function readParameters(fitted: readonly Fitted[]): Promise<Map<string, Parameter>> {
  const parameters = new Map<string, Parameter>();
  for (const { name, shape, parts } of fitted) {
    const [first, ...rest] = parts;
    let { data } = await readTensor(first!);
    if (rest.length > 0) {
      const whole = new Float32Array(elementCount(shape));
      whole.set(data);
      for (let end = data.length, i = 0; i < rest.length; i++) {
        const part = (await readTensor(rest[i]!)).data;
        whole.set(part, end);
        end += part.length;
      }
      data = whole;
    }
    parameters.set(name, { data, shape });
  }
  return parameters;
}

function transpose(tensor: StoredTensor): StoredTensor {
  if (tensor.shape.length !== 2) return tensor;
  const strides = tensor.strides ?? [tensor.shape[1]!, 1];
  return { ...tensor, shape: [...tensor.shape].reverse(), strides: [...strides].reverse() };
}

/** Axes of length 1 tell nothing: logit_scale is [] or [1], a probe [1, D] or [1, 1, D]. */
const inner = (shape: readonly number[]): readonly number[] => shape.filter((size) => size !== 1);

const equal = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, axis) => size === b[axis]);

const doesNotFit = (problem: string) =>
  new DiptychError("DoesNotFit", `${problem}.`, "Give the config that belongs to these weights.");
