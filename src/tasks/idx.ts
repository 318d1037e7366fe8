/**
 * @file MNIST's idx format (LeCun's page): big-endian, a magic number 0x0000 08 RANK, the sizes, then bytes.
 * Leaves out: types other than unsigned bytes, which MNIST does not use.
 */
import { DiptychError } from "../errors.js";
import type { LabelledPictures } from "./evaluate.js";

/** The array of an idx file of unsigned bytes. */
export function parseIdx(bytes: Uint8Array, name: string): { shape: readonly number[]; data: Uint8Array } {
  const refuse = (problem: string): never => {
    throw new DiptychError(
      "BadIdx",
      `${name} ${problem}.`,
      "Give an (unpacked) idx file of unsigned bytes, as MNIST has.",
    );
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || view.getUint16(0) !== 0 || bytes[2] !== 8) return refuse("is not an idx file of bytes");
  const rank = bytes[3]!;
  if (rank === 0 || bytes.length < 4 + 4 * rank) return refuse("ends within its header");
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const data = bytes.subarray(4 + 4 * rank);
  const size = shape.reduce((a, b) => a * b, 1);
  if (data.length !== size) return refuse(`has ${data.length} bytes of data, and its header says ${size}`);
  return { shape, data };
}

/** Grey pictures [N, H, W] and their labels [N], from the two files of a data set. `classes` in label order. */
export function idxPictures(images: Uint8Array, labels: Uint8Array, classes: readonly string[]): LabelledPictures {
  const { shape, data } = parseIdx(images, "the file of pictures");
  const [count, height, width] = shape;
  const { shape: labelShape, data: label } = parseIdx(labels, "the file of labels");
  if (shape.length !== 3 || labelShape.length !== 1 || labelShape[0] !== count) {
    throw new DiptychError(
      "BadIdx",
      `Pictures of shape [${shape.join(", ")}] and labels of shape [${labelShape.join(", ")}] do not belong together.`,
      "Give the files of pictures and of labels of the same data set.",
    );
  }
  const highest = label.reduce((a, b) => Math.max(a, b), 0);
  if (highest >= classes.length) {
    throw new DiptychError(
      "TooFewClasses",
      `The labels go up to ${highest}, and there are ${classes.length} class names.`,
      `Give ${highest + 1} names.`,
    );
  }
  const size = height! * width!;
  return {
    length: count!,
    classes: classes.map((name) => ({ names: [name] })),
    read: async (i) => ({
      image: { mode: "L", width: width!, height: height!, data: data.subarray(i * size, (i + 1) * size) },
      label: label[i]!,
    }),
  };
}
