/**
 * @file What every picture here shares: escaping, the two themes, text measured without a font, and round numbers.
 * A page is readable on light and on dark ground: the colours are classes that `prefers-color-scheme` switches.
 */

const namedEntities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Text as XML: markup escaped, and the control characters and lone surrogates that XML forbids replaced by U+FFFD. */
export function escapeXml(text: string): string {
  return text
    .replace(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, "\u{FFFD}")
    .replace(/[&<>"]/g, (character) => namedEntities[character]!);
}

/** Widths of the usual sans-serif fonts, in em: wide scripts and emoji are square, narrow letters about a third. */
function glyphWidth(character: string): number {
  if (
    /[\u{1100}-\u{115F}\u{2E80}-\u{A4CF}\u{AC00}-\u{D7A3}\u{F900}-\u{FAFF}\u{FE30}-\u{FF60}\u{1F300}-\u{1FAFF}]/u.test(
      character,
    )
  )
    return 1;
  if (/[ijlI.,:;'|!]/.test(character)) return 0.32;
  if (/[mwMW@%]/.test(character)) return 0.92;
  return /[A-Z]/.test(character) ? 0.7 : 0.58;
}

/** About how wide `text` is, in em. An estimate: SVG cannot ask for a font's metrics. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text) width += glyphWidth(character);
  return width;
}

/** Breaks `text` at spaces into at most `maxLines` lines of `maxWidth` em; what does not fit ends in "…". */
export function wrapText(text: string, maxWidth: number, maxLines: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && textWidth(longer) > maxWidth) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  if (line !== "") lines.push(line);
  const kept = lines.slice(0, maxLines);
  if (lines.length > maxLines) kept[maxLines - 1] += "…";
  return kept.map((each) => truncateText(each, maxWidth));
}

/** `text`, or as much of its beginning as fits into `maxWidth` em, and "…". */
export function truncateText(text: string, maxWidth: number): string {
  if (textWidth(text) <= maxWidth) return text;
  const room = maxWidth - textWidth("…");
  let kept = "";
  let width = 0;
  for (const character of text) {
    width += glyphWidth(character);
    if (width > room) break;
    kept += character;
  }
  return `${kept.trimEnd()}…`;
}

/** About `count` round numbers (1, 2 or 5 times a power of ten apart) inside [low, high], both included where round. */
export function ticks(low: number, high: number, count: number): number[] {
  const raw = (high - low) / count;
  if (!(raw > 0) || !Number.isFinite(raw)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= raw) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** A number for a label: at most three significant digits, thousands as k and millions as M. */
export function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  if (size >= 1e-3 || size === 0) return String(Number(value.toPrecision(3)));
  return value.toExponential(1).replace(".0", "").replace("e-", "e−");
}

/** A coordinate with at most two decimals: enough for a screen, and files stay small. */
export const coordinate = (value: number): string => String(Math.round(value * 100) / 100);

const style = `
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
.page{fill:#fff}.ink{fill:#1f2328}.faint{fill:#656d76}.rule{stroke:#d8dee4}.mark{stroke:#656d76}.frame{stroke:#1f2328}
.hue{fill:#1b4f9c}.line0{stroke:#1b4f9c}.line1{stroke:#c2571a}.line2{stroke:#2b7a4b}.line3{stroke:#7a4ca8}
.dot0{fill:#1b4f9c}.dot1{fill:#c2571a}.dot2{fill:#2b7a4b}.dot3{fill:#7a4ca8}.bright{fill:#fff}
@media (prefers-color-scheme:dark){
.page{fill:#0d1117}.ink{fill:#e6edf3}.faint{fill:#8d96a0}.rule{stroke:#30363d}.mark{stroke:#8d96a0}.frame{stroke:#e6edf3}
.hue{fill:#4184e4}.line0{stroke:#6ca4f0}.line1{stroke:#e2894f}.line2{stroke:#58b27c}.line3{stroke:#b08be0}
.dot0{fill:#6ca4f0}.dot1{fill:#e2894f}.dot2{fill:#58b27c}.dot3{fill:#b08be0}
}`;

/** How many line colours the page has; a fifth series begins again with the first. */
export const lineColours = 4;

/** The whole document: `body` is SVG markup, sizes are in pixels. */
export function svgPage(width: number, height: number, label: string, body: readonly string[]): string {
  const [w, h] = [Math.ceil(width), Math.ceil(height)];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" role="img" aria-label="${escapeXml(label)}">`,
    `<style>${style}\n</style>`,
    `<rect class="page" width="${w}" height="${h}" rx="10"/>`,
    ...body,
    "</svg>\n",
  ].join("\n");
}
