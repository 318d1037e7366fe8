/**
 * @file One entry an operator: random uses of it, shapes that it must give, and what it must refuse.
 * Dimensions are numbers or the symbols B and L, so that every operator is met with sizes known only when it runs.
 */
import fc from "fast-check";
import * as g from "../../src/graph/index.js";
import {
  convolutionTransposeOperator,
  integerMatmul,
  layerNormOperator,
  partOperator,
  round,
  step,
} from "../../src/graph/operators/index.js";
import { apply } from "../../src/graph/tensor.js";
import { largestWeight } from "./exactWeights.js";
import type { OperatorKey } from "./reference.js";

/** What symbols stand for when a graph runs. */
export const symbolSizes: Readonly<Record<string, number>> = { B: 3, L: 2 };

export interface Argument {
  readonly shape: g.Shape;
  /** `real` in ±2, `positive` in [0.5, 2.5], both differentiable; `digit` 0 to 3; a number: int32 ids below it. */
  readonly kind: "real" | "positive" | "digit" | number;
}

/** A use of an operator: what it is given, and the result made from inputs of those shapes. */
export interface Example {
  readonly given: readonly Argument[];
  readonly make: (...inputs: g.Tensor[]) => g.Tensor;
}

export interface Case {
  readonly examples: fc.Arbitrary<Example>;
  /** Whether the gradient is that of the formula; else there must be none. */
  readonly differentiable: boolean;
  readonly shapes: readonly (readonly [() => g.Tensor, string])[];
  readonly misfits?: readonly (readonly [() => g.Tensor, string])[];
}

const real = (shape: g.Shape): Argument => ({ shape, kind: "real" });
const positive = (shape: g.Shape): Argument => ({ shape, kind: "positive" });
const digit = (shape: g.Shape): Argument => ({ shape, kind: "digit" });
const ids = (shape: g.Shape, below: number): Argument => ({ shape, kind: below });

const size = fc.integer({ min: 1, max: 4 });
const dim: fc.Arbitrary<g.Dim> = fc.oneof(size, fc.constantFrom("B", "L"));
const shapes = (minLength: number, maxLength: number) => fc.array(dim, { minLength, maxLength });
const permutations = (rank: number) => fc.shuffledSubarray([...Array(rank).keys()], { minLength: rank });
/** A shape that broadcasts to the given one: leading axes dropped, others of size 1. */
const narrower = (shape: g.Shape): fc.Arbitrary<g.Shape> =>
  fc
    .tuple(fc.nat(shape.length), fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }))
    .map(([drop, ones]) => shape.map((dim, i) => (ones[i] ? 1 : dim)).slice(drop));

const x = (...shape: g.Dim[]) => g.input("x", shape);
const y = (...shape: g.Dim[]) => g.input("y", shape);
const z = (...shape: g.Dim[]) => g.input("z", shape);
const int = (...shape: g.Dim[]) => g.input("ids", shape, "int32");

function unary(f: (x: g.Tensor) => g.Tensor, argument: (shape: g.Shape) => Argument = real): Case {
  return {
    examples: shapes(0, 3).map((shape) => ({ given: [argument(shape)], make: f })),
    differentiable: true,
    shapes: [[() => f(x("B", 3)), "[B, 3]"]],
  };
}

function binary(
  f: (a: g.Tensor, b: g.Tensor) => g.Tensor,
  second: (shape: g.Shape) => Argument = real,
  first: (shape: g.Shape) => Argument = real,
): Case {
  return {
    examples: shapes(0, 3)
      .chain((shape) => fc.tuple(narrower(shape), narrower(shape)))
      .map(([a, b]) => ({ given: [first(a), second(b)], make: f })),
    differentiable: true,
    shapes: [
      [() => f(x("B", 1, 3), y("L", 1)), "[B, L, 3]"],
      [() => f(x(), y("B")), "[B]"],
    ],
    misfits: [
      [() => f(x(2, 3), y(2)), "shapes [2, 3] and [2] do not broadcast"],
      [() => f(x("B"), y("L")), "shapes [B] and [L] do not broadcast"],
    ],
  };
}

const alongAxis = (f: (x: g.Tensor, axis: number) => g.Tensor) =>
  shapes(1, 3)
    .chain((shape) => fc.tuple(fc.constant(shape), fc.integer({ min: -shape.length, max: shape.length - 1 })))
    .map(([shape, axis]): Example => ({ given: [real(shape)], make: (x) => f(x, axis) }));

const reduction = (f: (x: g.Tensor, axes: readonly number[]) => g.Tensor): Omit<Case, "differentiable"> => ({
  examples: shapes(1, 3)
    .chain((shape) => fc.tuple(fc.constant(shape), fc.subarray([...shape.keys()], { minLength: 1 })))
    .map(([shape, axes]) => ({ given: [real(shape)], make: (x) => f(x, axes) })),
  shapes: [
    [() => f(x("B", 2, 3), [-1]), "[B, 2, 1]"],
    [() => f(x("B", "L"), [0, 1]), "[1, 1]"],
  ],
  misfits: [[() => f(x(2, 3), [2]), "axis 2 is outside a shape of rank 2"]],
});

const products = fc
  .record({ batch: shapes(0, 2), n: dim, k: dim, m: dim, transposeA: fc.boolean(), transposeB: fc.boolean() })
  .chain((p) =>
    fc.tuple(
      fc.constant(p),
      narrower(p.batch),
      narrower(p.batch),
      fc.constantFrom(1, 0.5, -3),
      fc.option(narrower([p.n, p.m])),
    ),
  )
  .map(([{ n, k, m, transposeA, transposeB }, a, b, scale, added]): Example => {
    const options = { transposeA, transposeB, scale };
    const factors = [real([...a, ...(transposeA ? [k, n] : [n, k])]), real([...b, ...(transposeB ? [m, k] : [k, m])])];
    return a.length + b.length > 0 || added === null
      ? { given: factors, make: (x, y) => g.matmul(x!, y!, options) }
      : { given: [...factors, real(added)], make: (x, y, c) => g.matmul(x!, y!, { ...options, plus: c! }) };
  });

const sliced = fc.tuple(shapes(0, 2), size, fc.nat(2), fc.nat(2)).map(([rest, kept, before, after]): Example => {
  const shape = [...rest, before + kept + after];
  return { given: [real(shape)], make: (x) => g.slice(x, -1, before, before + kept) };
});

const windows = fc
  .record({ n: dim, c: size, o: size, rows: size, columns: size, stride: fc.integer({ min: 1, max: 3 }) })
  .chain((w) => fc.tuple(fc.constant(w), fc.nat((Math.min(w.rows, w.columns) - 1) >> 1), fc.nat(w.stride - 1)));

const convolved = (x: g.Shape, kernel: g.Shape, options: { stride?: number; padding?: number }): Example => ({
  given: [real(x), real(kernel)],
  make: (pictures, weight) => g.convolution(pictures!, weight!, options),
});

/** Any window, and the two that have gradients of their own: a square without a stride, many channels at one place. */
const convolutions = fc.oneof(
  fc
    .tuple(windows, size, size)
    .map(([[{ n, c, o, rows, columns, stride }, padding], high, wide]) =>
      convolved([n, c, rows + high, columns + wide], [o, c, rows, columns], { stride, padding }),
    ),
  fc
    .record({ n: dim, c: size, o: size, k: fc.integer({ min: 1, max: 3 }), high: size, wide: size })
    .chain((w) => fc.tuple(fc.constant(w), fc.nat(w.k - 1)))
    .map(([{ n, c, o, k, high, wide }, padding]) => convolved([n, c, k + high, k + wide], [o, c, k, k], { padding })),
  fc
    .record({ n: dim, c: fc.integer({ min: 4, max: 6 }), o: fc.integer({ min: 5, max: 6 }), k: fc.constantFrom(1, 2) })
    .map(({ n, c, o, k }) => convolved([n, c, k, k], [o, c, k, k], {})),
);

const convolutionTransposes = fc
  .tuple(windows, size, size)
  .map(([[{ n, c, o, rows, columns, stride }, padding, missing], high, wide]): Example => {
    const reach = (outputs: number, kernel: number) => (outputs - 1) * stride - 2 * padding + kernel + missing;
    const sides = [reach(high, rows), reach(wide, columns)] as const;
    return {
      given: [real([n, o, high, wide]), real([o, c, rows, columns])],
      make: (...inputs) => apply(convolutionTransposeOperator, inputs, { stride, padding, sides }),
    };
  });

const layerNorm = fc.tuple(shapes(0, 2), fc.integer({ min: 2, max: 5 }));
/** Large: where two values are nearly equal, a small one would magnify float32's rounding beyond what the tests allow. */
const epsilon = 0.1;

export const cases: { readonly [K in OperatorKey]: Case } = {
  inputOperator: unary((x) => x),
  constantOperator: {
    examples: fc.tuple(size, dim).map(([width, rows]) => {
      const values = Array.from({ length: width }, (_, i) => i - 0.5);
      return { given: [real([rows, width])], make: (x) => g.mul(x, g.constant(values)) };
    }),
    differentiable: true,
    shapes: [
      [() => g.constant(3), "[]"],
      [() => g.constant([1, 2, 3]), "[3]"],
      [() => g.constant([1, 2, 3, 4], [2, 2]), "[2, 2]"],
    ],
    misfits: [[() => g.constant([1, 2, 3], [2, 2]), "3 values do not fill shape [2,2]"]],
  },
  rangeOperator: {
    examples: dim.map((length) => ({ given: [real([length, 2])], make: (x) => g.gather(x, g.range(length)) })),
    differentiable: true,
    shapes: [[() => g.range("L"), "[L]"]],
  },
  addOperator: binary(g.add),
  subOperator: binary(g.sub),
  mulOperator: binary(g.mul),
  divOperator: binary(g.div, positive),
  negOperator: unary(g.neg),
  expOperator: unary(g.exp),
  logOperator: unary(g.log, positive),
  sqrtOperator: unary(g.sqrt, positive),
  sigmoidOperator: unary(g.sigmoid),
  tanhOperator: unary(g.tanh),
  erfOperator: unary(g.erf),
  reluOperator: unary(g.relu),
  compareOperator: {
    ...binary((a, b) => g.add(g.compare(a, "equal", b), g.mul(g.compare(a, "greater", b), 2)), digit, digit),
    differentiable: false,
  },
  sumOperator: { ...reduction(g.sum), differentiable: true },
  maxOperator: { ...reduction(g.max), differentiable: false },
  matmulOperator: {
    examples: products,
    differentiable: true,
    shapes: [
      [() => g.matmul(x("B", 8, 77, 64), y("B", 8, 77, 64), { transposeB: true }), "[B, 8, 77, 77]"],
      [() => g.matmul(x("B", 1, 2, "L"), y(5, "L", 3)), "[B, 5, 2, 3]"],
      [() => g.matmul(x("B", 4), y(4, 3), { plus: z(3) }), "[B, 3]"],
    ],
    misfits: [
      [() => g.matmul(x(2, 3), y(4, 5)), "matmul of [2, 3] and [4, 5]"],
      [() => g.matmul(x("B", 3), y(3, 4), { transposeB: true }), "matmul of [B, 3] and [3, 4]ᵀ"],
      [() => g.matmul(x(2, 4, 3), y(5, 3, 4)), "shapes [2] and [5] do not broadcast"],
      [
        () => g.matmul(x(7, 4, 3), y(3, 5), { plus: z(5) }),
        "only a product of two matrices takes an added term: [7, 4, 5] + [5]",
      ],
    ],
  },
  stepOperator: {
    examples: fc
      .tuple(dim, dim, fc.constantFrom([0] as const, [1] as const, [0, 1] as const))
      .map(([rows, columns, axes]) => ({ given: [real([rows, columns])], make: (x) => step(x!, axes, 127) })),
    differentiable: false,
    shapes: [
      [() => step(x("B", 8), [1], 127), "[B, 1]"],
      [() => step(x("B", 8), [0, 1], 127), "[1, 1]"],
    ],
    misfits: [[() => step(x("B", 8, 2), [1], 127), "step of [B, 8, 2], which is no matrix"]],
  },
  roundOperator: {
    examples: fc
      .tuple(dim, dim, fc.constantFrom("uint8", "int8"), fc.constantFrom("row", "column", "all"))
      .map(([rows, columns, to, each]) => ({
        given: [real([rows, columns]), positive([each === "row" ? rows : 1, each === "column" ? columns : 1])],
        // steps small enough for some to leave the range; the factor is exact
        make: (x, step) => round(x!, g.mul(step!, 2 ** -7), to),
      })),
    differentiable: false,
    shapes: [[() => round(x("B", 8), y("B", 1), "uint8"), "[B, 8]"]],
    misfits: [
      [() => round(x("B", 8), y(8), "uint8"), "round of [B, 8] to steps [8]"],
      [() => round(x("B", 8), y("B", 8), "uint8"), "round of [B, 8] to steps [B, 8]"],
    ],
  },
  integerMatmulOperator: {
    examples: fc.tuple(dim, size, size, fc.boolean()).map(([rows, inner, columns, biased]) => ({
      given: [real([rows, inner]), real([inner, columns]), real([1, columns]), real([columns])],
      make: (a, b, steps, bias) =>
        integerMatmul(
          // over the whole range of both types, or the part of int8 that this machine sums exactly: 255·64·2 < 2¹⁵
          round(a!, g.constant([2 ** -6], [1, 1]), "uint8"),
          round(b!, g.constant([largestWeight === 127 ? 2 ** -6 : 2 ** -5], [1, 1]), "int8"),
          steps!,
          biased ? bias : undefined,
        ),
    })),
    differentiable: false,
    shapes: [[() => integerMatmul(g.input("x", ["B", 4], "uint8"), g.input("y", [4, 6], "int8"), z(1, 6)), "[B, 6]"]],
    misfits: [
      [
        () => integerMatmul(g.input("x", ["B", 4], "int8"), g.input("y", [4, 6], "int8"), z(1, 6)),
        "integerMatmul of int8 [B, 4] and int8 [4, 6] with steps [1, 6]",
      ],
      [
        () => integerMatmul(g.input("x", ["B", 4], "uint8"), g.input("y", [4, 6], "int8"), z(1, 6), x(4)),
        "integerMatmul of uint8 [B, 4] and int8 [4, 6] with steps [1, 6] and bias [4]",
      ],
    ],
  },
  softmaxOperator: unary((x) => g.softmax(x.shape.length ? x : g.reshape(x, [1]))),
  layerNormOperator: {
    examples: layerNorm.map(([rows, width]) => ({
      given: [real([...rows, width]), real([width]), real([width])],
      make: (x, gain, bias) => g.layerNorm(x!, gain!, bias!, epsilon),
    })),
    differentiable: true,
    shapes: [[() => g.layerNorm(x("B", "L", 8), y(8), z(8)), "[B, L, 8]"]],
    misfits: [[() => g.layerNorm(x("B", 8), y(6), z(8)), "layerNorm of [B, 8] with gain [6] and bias [8]"]],
  },
  standardiseOperator: {
    examples: layerNorm.map(([rows, width]) => ({
      given: [real([...rows, width])],
      make: (x) => g.standardise(x, epsilon),
    })),
    differentiable: true,
    shapes: [[() => g.standardise(x("B", "L", 8)), "[B, L, 8]"]],
    misfits: [[() => g.standardise(x(4, "L")), "standardise of [4, L], of unknown width"]],
  },
  partOperator: {
    examples: fc.tuple(layerNorm, fc.constantFrom(1, 2)).map(([[rows, width], index]) => ({
      given: [real([...rows, width]), real([width]), real([width])],
      make: (...inputs) =>
        apply(partOperator, [apply(layerNormOperator, inputs, { epsilon })], { index, shape: [...rows, 1] }),
    })),
    differentiable: false,
    shapes: [],
  },
  gatherOperator: {
    examples: fc.tuple(size, dim, shapes(0, 2)).map(([rows, width, of]) => ({
      given: [real([rows, width]), ids(of, rows)],
      make: g.gather,
    })),
    differentiable: true,
    shapes: [[() => g.gather(x(512, 8), int("B", "L")), "[B, L, 8]"]],
    misfits: [[() => g.gather(x(2, 3, 4), int("B")), "gather from [2, 3, 4], which is no table of rows"]],
  },
  scatterRowsOperator: {
    examples: fc.tuple(size, dim, dim).map(([count, rows, width]) => ({
      given: [ids([rows], count), real([rows, width])],
      make: (i, rows) => g.scatterRows(i!, rows!, count),
    })),
    differentiable: true,
    shapes: [[() => g.scatterRows(int("B*L"), x("B*L", 8), 512), "[512, 8]"]],
    misfits: [[() => g.scatterRows(int("B"), x("L", 8), 512), "scatterRows of ids [B] and rows [L, 8]"]],
  },
  argMaxOperator: {
    examples: alongAxis(g.argMax),
    differentiable: false,
    shapes: [[() => g.argMax(int("B", "L"), 1), "[B, 1]"]],
    misfits: [[() => g.argMax(x(2, 3), -3), "axis -3 is outside a shape of rank 2"]],
  },
  reshapeOperator: {
    examples: fc.tuple(shapes(2, 4), fc.nat(2)).map(([shape, at]) => {
      const first = Math.min(at, shape.length - 2);
      const merged = g.dimProduct(shape.slice(first, first + 2));
      const target = [...shape.slice(0, first), merged, ...shape.slice(first + 2), 1];
      return { given: [real(shape)], make: (x) => g.reshape(x, target) };
    }),
    differentiable: true,
    shapes: [
      [() => g.reshape(x("B", "L", 8), ["B*L", 8]), "[B*L, 8]"],
      [() => g.reshape(x("B*L", 8), ["L", 2, "B", 4]), "[L, 2, B, 4]"],
    ],
    misfits: [
      [() => g.reshape(x("B", 6), ["B", 2, 2]), "reshape of [B, 6] to [B, 2, 2] changes the number of elements"],
      [() => g.reshape(x("B", 6), ["L", 6]), "reshape of [B, 6] to [L, 6] changes the number of elements"],
    ],
  },
  transposeOperator: {
    examples: shapes(1, 4)
      .chain((shape) => fc.tuple(fc.constant(shape), permutations(shape.length)))
      .map(([shape, permutation]) => ({ given: [real(shape)], make: (x) => g.transpose(x, permutation) })),
    differentiable: true,
    shapes: [[() => g.transpose(x("B", 2, "L"), [2, 0, 1]), "[L, B, 2]"]],
    misfits: [
      [() => g.transpose(x("B", 2), [0, 0]), "[0,0] is no permutation of the axes of [B, 2]"],
      [() => g.transpose(x("B", 2), [0]), "[0] is no permutation of the axes of [B, 2]"],
    ],
  },
  expandOperator: {
    examples: shapes(1, 3)
      .chain((shape) => fc.tuple(fc.constant(shape), narrower(shape)))
      .map(([shape, from]) => ({
        // The second argument carries the symbols.
        given: [real(from), real(shape)],
        make: (x, carrier) => g.mul(g.expand(x!, shape), carrier!),
      })),
    differentiable: true,
    shapes: [[() => g.expand(x(1, 3), ["B", "L", 3]), "[B, L, 3]"]],
    misfits: [
      [() => g.expand(x(2, 3), ["B", 3]), "shapes [2, 3] and [B, 3] do not broadcast"],
      [() => g.expand(x("B", 3), [1, 3]), "[B, 3] does not expand to [1, 3]"],
    ],
  },
  concatOperator: {
    examples: fc
      .tuple(shapes(0, 2), fc.array(size, { minLength: 1, maxLength: 3 }), fc.boolean())
      .map(([rest, parts, last]) => ({
        given: parts.map((part) => real(last ? [...rest, part] : [part, ...rest])),
        make: (...inputs) => g.concat(inputs, last ? -1 : 0),
      })),
    differentiable: true,
    shapes: [[() => g.concat([x("B", 1, 8), y("B", 4, 8)], 1), "[B, 5, 8]"]],
    misfits: [
      [() => g.concat([x(2, 3), y(2, 4)], 0), "concat along axis 0 of [2, 3] and [2, 4]"],
      [() => g.concat([x(2), y("B")], 0), "concat along axis 0 of [2] and [B]"],
    ],
  },
  sliceOperator: {
    examples: sliced,
    differentiable: true,
    shapes: [[() => g.slice(x("B", 5), 1, 1, 4), "[B, 3]"]],
    misfits: [
      [() => g.slice(x("B", 5), 1, 2, 6), "slice 2:6 of axis 1 of [B, 5]"],
      [() => g.slice(x("B", 5), 1, 2, 2), "slice 2:2 of axis 1 of [B, 5]"],
    ],
  },
  padOperator: {
    examples: fc.tuple(shapes(0, 2), size, fc.nat(2), fc.nat(2)).map(([rest, inner, before, after]) => ({
      given: [real([...rest, inner])],
      make: (x) => g.pad(x, -1, before, after),
    })),
    differentiable: true,
    shapes: [[() => g.pad(x("B", 3), 1, 1, 4), "[B, 8]"]],
    misfits: [[() => g.pad(x("B", 3), 0, 1, 4), "pad by 1 and 4 of axis 0 of [B, 3]"]],
  },
  convolutionOperator: {
    examples: convolutions,
    differentiable: true,
    shapes: [
      [() => g.convolution(x("B", 3, 224, 224), y(64, 3, 3, 3), { stride: 2, padding: 1 }), "[B, 64, 112, 112]"],
      [() => g.convolution(x("B", 3, 9, 8), y(5, 3, 2, 2), { dilation: 3 }), "[B, 5, 6, 5]"],
    ],
    misfits: [
      [() => g.convolution(x("B", 3, 8, 8), y(4, 2, 3, 3)), "convolution of [B, 3, 8, 8] with a kernel [4, 2, 3, 3]"],
      [() => g.convolution(x(1, 3, "B", 8), y(4, 3, 3, 3)), "the sides of a picture must be known, not B"],
    ],
  },
  convolutionTransposeOperator: {
    examples: convolutionTransposes,
    differentiable: true,
    shapes: [],
  },
  averagePoolOperator: {
    examples: fc.tuple(dim, size, size, size, fc.integer({ min: 2, max: 3 })).map(([n, c, high, wide, of]) => ({
      given: [real([n, c, high * of, wide * of])],
      make: (x) => g.averagePool(x, of),
    })),
    differentiable: true,
    shapes: [[() => g.averagePool(x("B", 8, 7, 6), 2), "[B, 8, 3, 3]"]],
  },
  withGradientOperator: unary((x) => g.withGradient(g.mul(x, x), x, (dy) => g.mul(dy, g.add(x, x)))),
};
