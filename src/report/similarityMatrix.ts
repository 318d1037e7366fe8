/**
 * @file The picture that shows what CLIP does: every text beside every picture, and how alike they are.
 * Pictures are columns and texts rows, so that captions stay horizontal. A cell's colour is one hue, the stronger the
 * more alike, stretched over the values that occur (cosines of a CLIP lie close together: 0.15 to 0.35 for OpenAI's).
 * The best text of each picture is framed. Leaves out: clustering and reordering; rows and columns stay as given.
 */
import { coordinate, escapeXml, svgPage, textWidth, ticks, truncateText, wrapText } from "./svg.js";

/** N pictures, M texts. */
export interface SimilarityFigure {
  readonly title?: string;
  /** N thumbnails as data URIs. */
  readonly images: readonly string[];
  /** M captions; long ones wrap to three lines and end in "…", whole in the tooltip. */
  readonly texts: readonly string[];
  /** Similarities, row-major [N, M]: `values[i * M + j]` of picture i and text j. */
  readonly values: ArrayLike<number>;
}

const cell = 72;
const gap = 3;
const margin = 24;
const captionSize = 14;
const captionRoom = 260;

export function similarityMatrixSvg({ title, images, texts, values }: SimilarityFigure): string {
  const value = (i: number, j: number): number => values[i * texts.length + j]!;
  const finite = Array.from(values).filter(Number.isFinite);
  const low = finite.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = finite.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  /** 0 for the least alike pair of the figure, 1 for the most. */
  const strength = (v: number): number => (high > low ? (v - low) / (high - low) : 1);

  const captions = texts.map((text) => wrapText(text, captionRoom / captionSize, 3));
  const captionWidth = Math.max(80, ...captions.flat().map((line) => textWidth(line) * captionSize));
  const left = margin + captionWidth + 14;
  const top = margin + (title === undefined ? 0 : 34) + cell + 10;
  const step = cell + gap;
  const matrixWidth = images.length * step - gap;
  const width = Math.max(left + matrixWidth + margin, left + 220);
  const bottom = top + texts.length * step - gap;
  const body: string[] = [];

  if (title !== undefined) {
    const room = (width - 2 * margin) / 18;
    body.push(
      `<text class="ink" x="${margin}" y="${margin + 14}" font-size="18" font-weight="600">${escapeXml(truncateText(title, room))}</text>`,
    );
  }

  images.forEach((uri, i) => {
    const x = coordinate(left + i * step);
    const y = coordinate(top - cell - 10);
    body.push(
      `<clipPath id="p${i}"><rect x="${x}" y="${y}" width="${cell}" height="${cell}" rx="6"/></clipPath>`,
      `<image x="${x}" y="${y}" width="${cell}" height="${cell}" preserveAspectRatio="xMidYMid slice" clip-path="url(#p${i})" href="${escapeXml(uri)}"/>`,
    );
  });

  captions.forEach((lines, j) => {
    const middle = top + j * step + cell / 2;
    const first = middle - ((lines.length - 1) * 18) / 2 + captionSize * 0.35;
    body.push(
      `<g><title>${escapeXml(texts[j]!)}</title>`,
      ...lines.map(
        (line, row) =>
          `<text class="ink" x="${coordinate(left - 14)}" y="${coordinate(first + row * 18)}" text-anchor="end" font-size="${captionSize}">${escapeXml(line)}</text>`,
      ),
      "</g>",
    );
  });

  images.forEach((_, i) => {
    const column = texts.map((_, j) => value(i, j));
    const best = column.indexOf(Math.max(...column));
    column.forEach((v, j) => {
      const x = left + i * step;
      const y = top + j * step;
      const s = strength(v);
      // Mixed in sRGB with the ground, steps of opacity are about equal steps of lightness: a perceptual scale in either theme.
      body.push(
        `<rect class="hue" x="${coordinate(x)}" y="${coordinate(y)}" width="${cell}" height="${cell}" rx="6" fill-opacity="${coordinate(0.06 + 0.94 * s)}"/>`,
        `<text class="${s > 0.5 ? "bright" : "ink"}" x="${coordinate(x + cell / 2)}" y="${coordinate(y + cell / 2 + 5)}" text-anchor="middle" font-size="15"${j === best ? ' font-weight="700"' : ""}>${v.toFixed(2)}</text>`,
      );
      if (j === best)
        body.push(
          `<rect class="frame" x="${coordinate(x + 1)}" y="${coordinate(y + 1)}" width="${cell - 2}" height="${cell - 2}" rx="5" fill="none" stroke-width="2"/>`,
        );
    });
  });

  body.push(...legend(left, bottom + 22, low, high));
  return svgPage(width, bottom + 22 + 34 + margin, title ?? "Similarity of pictures and texts", body);
}

/** The scale from the least to the most alike, and what the frame means. */
function legend(x: number, y: number, low: number, high: number): string[] {
  if (!(high >= low)) return [];
  const swatches = ticks(0, 1, 5);
  const label = (text: string, at: number, anchor: "start" | "end", below = 0): string =>
    `<text class="faint" x="${coordinate(at)}" y="${coordinate(y + 10 + below)}" text-anchor="${anchor}" font-size="12">${text}</text>`;
  return [
    label(low.toFixed(2), x + 26, "end"),
    ...swatches.map(
      (s, i) =>
        `<rect class="hue" x="${coordinate(x + 32 + i * 18)}" y="${coordinate(y)}" width="16" height="12" rx="3" fill-opacity="${coordinate(0.06 + 0.94 * s)}"/>`,
    ),
    label(high.toFixed(2), x + 36 + swatches.length * 18, "start"),
    label("framed: each picture’s best text", x, "start", 28),
  ];
}
