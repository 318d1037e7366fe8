/**
 * @file L-BFGS (Liu & Nocedal 1989; Nocedal & Wright 2006, alg. 7.4 and 7.5), for smooth convex functions whose value and
 * gradient come from a program. Steps are found by bisection to the weak Wolfe conditions (Burke, Lewis & Overton 2008).
 */

/** A function's value and gradient at x. */
export type Objective = (x: Float64Array) => Promise<{ readonly value: number; readonly gradient: Float64Array }>;

export interface MinimiseOptions {
  /** 1000, as scikit-learn's logistic regression was given in CLIP's paper. */
  readonly maxIterations?: number;
  /** Where no entry of the gradient is larger, the minimum is reached. */
  readonly tolerance?: number;
  /** Earlier steps from which the curvature is estimated. */
  readonly memory?: number;
}

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  readonly iterations: number;
}

/** A step s and the change y of the gradient along it. */
interface Step {
  readonly s: Float64Array;
  readonly y: Float64Array;
  readonly sy: number;
}

/** Ends at a gradient within the tolerance, or where rounding hides any further descent. */
export async function minimise(
  objective: Objective,
  start: Float64Array,
  { maxIterations = 1000, tolerance = 1e-6, memory = 10 }: MinimiseOptions = {},
): Promise<Minimum> {
  let point = { x: start, ...(await objective(start)) };
  let steps: readonly Step[] = [];
  let iterations = 0;
  while (iterations < maxIterations && point.gradient.some((g) => Math.abs(g) > tolerance)) {
    const next = await wolfeStep(objective, point, descent(point.gradient, steps), steps.length > 0 ? 1 : undefined);
    if (!next) break;
    iterations++;
    const s = combine(next.x, -1, point.x);
    const y = combine(next.gradient, -1, point.gradient);
    const sy = dot(s, y);
    if (sy > 0) steps = [...steps.slice(1 - memory), { s, y, sy }];
    point = next;
  }
  return { x: point.x, value: point.value, iterations };
}

interface Point {
  readonly x: Float64Array;
  readonly value: number;
  readonly gradient: Float64Array;
}

/** −H·gradient, H being the inverse curvature that the steps tell: the recursion of two loops. */
function descent(gradient: Float64Array, steps: readonly Step[]): Float64Array {
  let direction: Float64Array = gradient.map((g) => -g);
  const weights: number[] = [];
  for (const { s, y, sy } of steps.toReversed()) {
    const weight = dot(s, direction) / sy;
    weights.push(weight);
    direction = combine(direction, -weight, y);
  }
  const latest = steps.at(-1);
  if (latest) {
    const scale = latest.sy / dot(latest.y, latest.y);
    direction = direction.map((d) => d * scale);
  }
  for (const { s, y, sy } of steps) direction = combine(direction, weights.pop()! - dot(y, direction) / sy, s);
  return direction;
}

/** Of the first condition: how much of the expected descent must come; of the second: how much slope may be left. */
const [sufficient, leftover] = [1e-4, 0.9];
/** Values are sums in single precision; a difference below this share of them says nothing. */
const noise = 1e-6;
const mostTrials = 30;

/** A point along `direction` that is low enough and past the steep part; undefined where rounding hides the descent. */
async function wolfeStep(
  objective: Objective,
  { x, value, gradient }: Point,
  direction: Float64Array,
  firstLength = 1 / Math.sqrt(dot(gradient, gradient)),
): Promise<Point | undefined> {
  const slope = dot(gradient, direction);
  let [low, high, length] = [0, Number.POSITIVE_INFINITY, firstLength];
  for (let trial = 0; trial < mostTrials && slope < 0; trial++) {
    const at = combine(x, length, direction);
    const point = { x: at, ...(await objective(at)) };
    const lowEnough = point.value <= value + sufficient * length * slope + noise * Math.abs(value);
    if (lowEnough && dot(point.gradient, direction) >= leftover * slope) return point;
    if (lowEnough) low = length;
    else high = length;
    length = high === Number.POSITIVE_INFINITY ? 2 * low : (low + high) / 2;
  }
  return undefined;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** a + factor · b */
const combine = (a: Float64Array, factor: number, b: Float64Array): Float64Array =>
  a.map((value, i) => value + factor * b[i]!);
