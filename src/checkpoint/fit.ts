/**
 * @file Brings stored tensors and a config together: every parameter of the model must be there in its shape, and nothing
 * else. Only shapes are looked at first, so a file that does not fit is refused before its numbers are read.
 */
import { type ClipConfig, parameterTable } from "../clip/index.js";
import { DiptychError, nearestName } from "../errors.js";
import type { Parameter } from "./checkpoint.js";
import { type Dialect, ignoredNames } from "./names.js";
import { elementCount, readTensor, type StoredTensor } from "./storage.js";

/** A parameter and the tensors that, stacked along the first axis, hold it. */
export interface Fitted {
  readonly name: string;
  readonly shape: readonly number[];
  readonly parts: readonly StoredTensor[];
}

/** @throws DiptychError `DoesNotFit`, naming the first parameter that is missing, misshapen or too many. */
export function fitParameters(
  config: ClipConfig,
  tensors: readonly StoredTensor[],
  dialect: Dialect,
  file: string,
): Fitted[] {
  // a model is traced to know its parameters: a config must not ask for a billion layers
  const layers = [config.image.layers, config.text.layers].flat().reduce((a, b) => a + b);
  if (layers > tensors.length)
    throw doesNotFit(`The config has ${layers} layers, and ${file} only ${tensors.length} tensors`);

  const stored = new Map(tensors.filter(({ name }) => !ignoredNames.test(name)).map((tensor) => [tensor.name, tensor]));
  const fitted = parameterTable(config).map(({ name, shape }): Fitted => {
    const { names, transposed } = dialect.storedAs(name);
    const rows = names.length === 1 ? shape : [shape[0]! / names.length, ...shape.slice(1)];
    const parts = names.map((storedName) => {
      const tensor = stored.get(storedName);
      if (!tensor) {
        const near = nearestName(storedName, [...stored.keys()].slice(0, 1000));
        throw doesNotFit(`${file} has no tensor ${storedName} of shape [${rows}]; the nearest name in it is ${near}`);
      }
      stored.delete(storedName);
      const seen = transposed ? transpose(tensor) : tensor;
      const scalar = elementCount(rows) === 1 && elementCount(seen.shape) === 1; // logit_scale is [] or [1]
      if (!scalar && !equal(seen.shape, rows)) {
        const expected = transposed ? [...rows].reverse() : rows;
        throw doesNotFit(
          `Tensor ${storedName} in ${file} has shape [${tensor.shape}], and the config asks for [${expected}]`,
        );
      }
      return seen;
    });
    return { name, shape, parts };
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
      const part = data;
      data = new Float32Array(elementCount(shape));
      data.set(part);
      for (const [i, tensor] of rest.entries()) data.set((await readTensor(tensor)).data, (i + 1) * part.length);
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

const equal = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((size, axis) => size === b[axis]);

const doesNotFit = (problem: string) =>
  new DiptychError("DoesNotFit", `${problem}.`, "Give the config that belongs to these weights.");
