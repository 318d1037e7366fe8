/**
 * @file Training curves: one small panel for each quantity over the same steps, so that a loss, a learning rate and a
 * logit scale are read together. A noisy series is drawn twice: pale as it is, strong as its moving average.
 * Leaves out: logarithmic axes, interaction.
 */
import { coordinate, escapeXml, lineColours, shortNumber, svgPage, ticks, truncateText } from "./svg.js";

export interface Series {
  /** Shown where a panel has several series. */
  readonly name: string;
  /** (step, value), by rising step; a value that is not finite breaks the line. */
  readonly points: readonly (readonly [step: number, value: number])[];
}

export interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
  /** A value to compare with, drawn as a dashed line: the loss of a model that knows nothing. */
  readonly level?: { readonly name: string; readonly value: number };
}

export interface CurvesFigure {
  readonly title?: string;
  readonly panels: readonly Panel[];
}

const panelWidth = 400;
const plot = { left: 52, right: 66, top: 36, height: 150, bottom: 32 } as const;
const panelHeight = plot.top + plot.height + plot.bottom;
const margin = 20;

/** Panels in two columns (one column for one panel). */
export function curvesSvg({ title, panels }: CurvesFigure): string {
  const columns = Math.min(2, panels.length);
  const head = margin + (title === undefined ? 0 : 34);
  const width = 2 * margin + columns * panelWidth;
  const height = head + Math.ceil(panels.length / columns) * panelHeight + margin;
  const body = panels.map((panel, i) => {
    const x = margin + (i % columns) * panelWidth;
    const y = head + Math.floor(i / columns) * panelHeight;
    return `<g transform="translate(${x} ${y})">\n${drawPanel(panel).join("\n")}\n</g>`;
  });
  if (title !== undefined) {
    const text = escapeXml(truncateText(title, (width - 2 * margin) / 18));
    body.unshift(
      `<text class="ink" x="${margin + 12}" y="${margin + 16}" font-size="18" font-weight="600">${text}</text>`,
    );
  }
  return svgPage(width, height, title ?? "Training curves", body);
}

/** One panel as a document of its own, for pages that lay panels out themselves. */
export const panelSvg = (panel: Panel): string => svgPage(panelWidth, panelHeight, panel.title, drawPanel(panel));

function drawPanel({ title, series, level }: Panel): string[] {
  const points = series.flatMap((each) => each.points).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const heading = `<text class="ink" x="12" y="20" font-size="14" font-weight="600">${escapeXml(title)}</text>`;
  if (points.length === 0) return [heading, `<text class="faint" x="12" y="60" font-size="12">nothing measured</text>`];

  const [x0, x1] = range(points.map(([x]) => x));
  const [y0, y1] = padded(range([...points.map(([, y]) => y), ...(level ? [level.value] : [])]));
  const right = panelWidth - plot.right;
  const base = plot.top + plot.height;
  const atX = (x: number): number => plot.left + ((x - x0) / (x1 - x0 || 1)) * (right - plot.left);
  const atY = (y: number): number => base - ((y - y0) / (y1 - y0)) * plot.height;

  const heights = ticks(y0, y1, 4);
  const labels = tickLabels(heights);
  const grid = heights.map((tick, i) => {
    const y = coordinate(atY(tick));
    return `<line class="rule" x1="${plot.left}" x2="${right}" y1="${y}" y2="${y}"/><text class="faint" x="${plot.left - 8}" y="${coordinate(atY(tick) + 4)}" text-anchor="end" font-size="11">${labels[i]}</text>`;
  });
  const steps = ticks(x0, x1, 4).map(
    (tick) =>
      `<text class="faint" x="${coordinate(atX(tick))}" y="${base + 18}" text-anchor="middle" font-size="11">${shortNumber(tick)}</text>`,
  );
  const drawn = series.map(({ points }) => movingAverage(points) ?? points);
  const lines = series.flatMap(({ points }, index) => {
    const path = (of: Series["points"], width: number, opacity: number): string =>
      `<path class="line${index % lineColours}" d="${linePath(of, atX, atY)}" fill="none" stroke-width="${width}" stroke-opacity="${opacity}" stroke-linejoin="round" stroke-linecap="round"/>`;
    const strong = drawn[index]!;
    return [...(strong === points ? [] : [path(points, 1, 0.28)]), path(strong, 2, 1)];
  });
  const ends = drawn.flatMap((line, index) => {
    const last = line.findLast(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
    return last === undefined ? [] : [{ index, value: last[1], x: atX(last[0]), y: atY(last[1]) }];
  });
  return [
    heading,
    ...legend(series),
    ...grid,
    ...steps,
    ...(level ? levelLine(level, right, atY(level.value)) : []),
    ...lines,
    ...endLabels(ends),
  ];
}

const levelLine = ({ name }: NonNullable<Panel["level"]>, right: number, y: number): string[] => [
  `<line class="mark" x1="${plot.left}" x2="${right}" y1="${coordinate(y)}" y2="${coordinate(y)}" stroke-dasharray="4 4"/>`,
  `<text class="faint" x="${right}" y="${coordinate(y - 5)}" text-anchor="end" font-size="11">${escapeXml(name)}</text>`,
];

/** Three digits, or as many as it takes to tell neighbours apart. */
function tickLabels(values: readonly number[]): string[] {
  const labels = values.map(shortNumber);
  return new Set(labels).size === labels.length ? labels : values.map(String);
}

interface LineEnd {
  readonly index: number;
  readonly value: number;
  readonly x: number;
  readonly y: number;
}

/** A dot and the value at each line's end; values are moved down where they would lie on one another. */
function endLabels(ends: readonly LineEnd[]): string[] {
  let free = Number.NEGATIVE_INFINITY;
  return [...ends]
    .sort((a, b) => a.y - b.y)
    .map(({ index, value, x, y }) => {
      const at = Math.max(y + 4, free);
      free = at + 13;
      return `<circle class="dot${index % lineColours}" cx="${coordinate(x)}" cy="${coordinate(y)}" r="3"/><text class="dot${index % lineColours}" x="${coordinate(x + 7)}" y="${coordinate(at)}" font-size="12" font-weight="600">${shortNumber(value)}</text>`;
    });
}

/** Names of several series, right of the heading. */
function legend(series: readonly Series[]): string[] {
  if (series.length < 2) return [];
  let x = panelWidth - plot.right;
  return [...series].reverse().map((each, back) => {
    const index = series.length - 1 - back;
    const name = truncateText(each.name, 10);
    const at = x;
    x -= name.length * 6.5 + 16;
    return `<text class="dot${index % lineColours}" x="${coordinate(at)}" y="20" text-anchor="end" font-size="12">${escapeXml(name)}</text>`;
  });
}

function linePath(points: Series["points"], atX: (x: number) => number, atY: (y: number) => number): string {
  let path = "";
  let pen = "M";
  for (const [x, y] of thin(points)) {
    if (Number.isFinite(x) && Number.isFinite(y)) {
      path += `${pen}${coordinate(atX(x))} ${coordinate(atY(y))}`;
      pen = "L";
    } else pen = "M";
  }
  return path;
}

/** At most about 800 points: of each run of neighbours the lowest and the highest, so that no spike is lost. */
function thin(points: Series["points"]): Series["points"] {
  const run = Math.ceil(points.length / 400);
  if (run <= 2) return points;
  const kept: (readonly [number, number])[] = [];
  for (let start = 0; start < points.length; start += run) {
    const part = points.slice(start, start + run);
    const broken = part.find(([, y]) => !Number.isFinite(y));
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(broken ? [broken] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

/** Centred moving average over a fiftieth of the run; none where a series is short or already smooth. */
function movingAverage(points: Series["points"]): Series["points"] | undefined {
  const reach = Math.floor(points.length / 100);
  if (reach < 2 || !isNoisy(points)) return undefined;
  const sums = [0]; // of all values before, and of how many of them are no numbers
  const gaps = [0];
  for (const [i, [, y]] of points.entries()) {
    sums.push(sums[i]! + (Number.isFinite(y) ? y : 0));
    gaps.push(gaps[i]! + (Number.isFinite(y) ? 0 : 1));
  }
  return points.map(([x], i) => {
    const [from, to] = [Math.max(0, i - reach), Math.min(points.length, i + reach + 1)];
    return [x, gaps[to] === gaps[from] ? (sums[to]! - sums[from]!) / (to - from) : Number.NaN] as const;
  });
}

/** Noisy: the way up and down between neighbours is several times as long as the way from lowest to highest. */
function isNoisy(points: Series["points"]): boolean {
  const [low, high] = range(points.map(([, y]) => y));
  const path = points.reduce((sum, [, y], i) => sum + (i === 0 ? 0 : Math.abs(y - points[i - 1]![1])), 0);
  return path > 4 * (high - low);
}

const range = (values: readonly number[]): [number, number] =>
  values.reduce<[number, number]>(
    ([low, high], v) => [Math.min(low, v), Math.max(high, v)],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  );

/** A little air above and below; a constant gets a unit of room. */
function padded([low, high]: [number, number]): [number, number] {
  const air = high > low ? (high - low) * 0.06 : Math.abs(low) * 0.1 || 1;
  return [low - air, high + air];
}
