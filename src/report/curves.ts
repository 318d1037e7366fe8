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
}

export interface CurvesFigure {
  readonly title?: string;
  readonly panels: readonly Panel[];
}

const panelWidth = 400;
const plot = { left: 52, right: 50, top: 36, height: 150, bottom: 32 } as const;
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

function drawPanel({ title, series }: Panel): string[] {
  const points = series.flatMap((each) => each.points).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const heading = `<text class="ink" x="12" y="20" font-size="14" font-weight="600">${escapeXml(title)}</text>`;
  if (points.length === 0) return [heading, `<text class="faint" x="12" y="60" font-size="12">nothing measured</text>`];

  const [x0, x1] = range(points.map(([x]) => x));
  const [y0, y1] = padded(range(points.map(([, y]) => y)));
  const right = panelWidth - plot.right;
  const base = plot.top + plot.height;
  const atX = (x: number): number => plot.left + ((x - x0) / (x1 - x0 || 1)) * (right - plot.left);
  const atY = (y: number): number => base - ((y - y0) / (y1 - y0)) * plot.height;

  const grid = ticks(y0, y1, 4).map((tick) => {
    const y = coordinate(atY(tick));
    return `<line class="rule" x1="${plot.left}" x2="${right}" y1="${y}" y2="${y}"/><text class="faint" x="${plot.left - 8}" y="${coordinate(atY(tick) + 4)}" text-anchor="end" font-size="11">${shortNumber(tick)}</text>`;
  });
  const steps = ticks(x0, x1, 4).map(
    (tick) =>
      `<text class="faint" x="${coordinate(atX(tick))}" y="${base + 18}" text-anchor="middle" font-size="11">${shortNumber(tick)}</text>`,
  );
  const lines = series.flatMap((each, index) => {
    const smooth = movingAverage(each.points);
    const drawn = smooth ?? each.points;
    const path = (of: Series["points"], width: number, opacity: number): string =>
      `<path class="line${index % lineColours}" d="${linePath(of, atX, atY)}" fill="none" stroke-width="${width}" stroke-opacity="${opacity}" stroke-linejoin="round" stroke-linecap="round"/>`;
    const last = drawn.findLast(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
    return [
      ...(smooth === undefined ? [] : [path(each.points, 1, 0.28)]),
      path(drawn, 2, 1),
      ...(last === undefined ? [] : [endLabel(last, index, atX, atY)]),
    ];
  });
  return [heading, ...legend(series), ...grid, ...steps, ...lines];
}

/** A dot and the value at a line's end. */
function endLabel(
  [x, y]: readonly [number, number],
  index: number,
  atX: (x: number) => number,
  atY: (y: number) => number,
): string {
  const [cx, cy] = [atX(x), atY(y)];
  return `<circle class="dot${index % lineColours}" cx="${coordinate(cx)}" cy="${coordinate(cy)}" r="3"/><text class="dot${index % lineColours}" x="${coordinate(cx + 7)}" y="${coordinate(cy + 4)}" font-size="12" font-weight="600">${shortNumber(y)}</text>`;
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
  return points.map(([x], i) => {
    const near = points.slice(Math.max(0, i - reach), i + reach + 1).map(([, y]) => y);
    return [x, near.reduce((a, b) => a + b, 0) / near.length] as const;
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
