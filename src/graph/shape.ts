/**
 * @file Shapes whose dimensions may be known only when the graph runs.
 * A dimension is a number or a product of symbols in canonical form: "B", "65*B", "B*L" (number first, symbols sorted).
 * Products suffice for CLIP: batch and length are symbols, and flattening multiplies them. Sums are left out.
 */

export type Dim = number | string;
export type Shape = readonly Dim[];

const factors = (dim: Dim): { readonly count: number; readonly symbols: readonly string[] } => {
  if (typeof dim === "number") return { count: dim, symbols: [] };
  let count = 1;
  const symbols: string[] = [];
  for (const factor of dim.split("*")) {
    const value = Number(factor);
    if (Number.isNaN(value)) symbols.push(factor);
    else count *= value;
  }
  return { count, symbols };
};

const canonical = (count: number, symbols: readonly string[]): Dim => {
  if (symbols.length === 0 || count === 0) return count;
  const product = [...symbols].sort().join("*");
  return count === 1 ? product : `${count}*${product}`;
};

/** The symbols in a dimension, with repetition, and its numeric factor. */
export const dimFactors = factors;

/** a·b·…, in canonical form; 1 for no dimensions. */
export function dimProduct(dims: Shape): Dim {
  let count = 1;
  const symbols: string[] = [];
  for (const dim of dims) {
    const f = factors(dim);
    count *= f.count;
    symbols.push(...f.symbols);
  }
  return canonical(count, symbols);
}

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((dim, i) => dim === b[i]);

export const formatShape = (shape: Shape): string => `[${shape.join(", ")}]`;

/** NumPy's broadcasting rule over several shapes; two different symbols do not broadcast. */
export function broadcastShapes(shapes: readonly Shape[]): Shape {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, i) => {
    let result: Dim = 1;
    for (const shape of shapes) {
      const dim = shape[i - rank + shape.length] ?? 1;
      if (dim === 1 || dim === result) continue;
      if (result !== 1) throw new Error(`shapes ${shapes.map(formatShape).join(" and ")} do not broadcast`);
      result = dim;
    }
    return result;
  });
}

/** Non-negative axis in a shape of the given rank. */
export function axisOf(axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (!(positive >= 0 && positive < rank)) throw new Error(`axis ${axis} is outside a shape of rank ${rank}`);
  return positive;
}
