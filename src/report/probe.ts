/**
 * @file The probe of a run: the similarities of a few fixed pairs as they change, one large matrix with a slider and a
 * strip of small ones. Pictures are columns and captions rows, as in `similarityMatrix.ts`; the diagonal is right.
 */
import type { StoryPair, StoryProbe } from "./story.js";
import { coordinate, escapeXml } from "./svg.js";

/** So many matrices are in the page; of a longer run, evenly chosen ones. */
const mostProbes = 60;
const stripLength = 12;

export function probePart(pairs: readonly StoryPair[], all: readonly StoryProbe[]): string {
  if (pairs.length === 0 || all.length === 0) return "";
  const probes = evenly(all, mostProbes);
  const last = probes.at(-1)!;
  const strip = evenly([...probes.keys()], stripLength).map((index) => {
    const { step, similarities } = probes[index]!;
    const right = rightAnswers(pairs, similarities);
    return `<button type="button" data-probe="${index}" aria-pressed="${index === probes.length - 1}">${smallMatrix(similarities)}step ${step.toLocaleString("en")}<br>${right} of ${pairs.length}</button>`;
  });
  return [
    "<h2>Probe</h2>",
    `<p class="quiet small">How alike the model finds ${pairs.length} fixed pairs: a column a picture, a row a caption, the more alike the stronger the colour. Each picture’s best caption is framed, in orange where it is another’s.</p>`,
    `<div class="strip">${strip.join("")}</div>`,
    '<div class="probe"><div class="card">',
    `<p class="small" id="probe-label">${probeLabel(pairs, last)}</p>`,
    largeMatrix(pairs, last.similarities),
    `<input type="range" id="probe-slider" min="0" max="${probes.length - 1}" value="${probes.length - 1}" aria-label="step">`,
    `</div><div class="card">${pairList(pairs, last.similarities)}</div></div>`,
    `<script type="application/json" id="probe-data">${JSON.stringify(
      probes.map((probe) => ({
        label: probeLabel(pairs, probe),
        values: strengths(probe.similarities).map((row) => row.map((value) => Math.round(100 * value))),
        best: probe.similarities.map(indexOfLargest),
        ranks: pairs.map((_, i) => rankText(pairs, probe.similarities, i)),
      })),
    ).replaceAll("<", "\\u003c")}</script>`,
  ].join("\n");
}

/** Share of probe pictures whose most similar caption is their own. */
export const probeAccuracy = (pairs: readonly StoryPair[], { similarities }: StoryProbe): number =>
  rightAnswers(pairs, similarities) / pairs.length;

/** Mean cosine of pictures and their own captions. */
export const ownCosine = ({ similarities }: StoryProbe): number => average(similarities.map((row, i) => row[i]!));

/** Mean cosine of pictures and the captions of others. */
export const otherCosine = ({ similarities }: StoryProbe): number =>
  average(similarities.flatMap((row, i) => row.filter((_, j) => j !== i)));

const average = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

const rightAnswers = (pairs: readonly StoryPair[], similarities: StoryProbe["similarities"]): number =>
  similarities.filter((row, i) => pairs[indexOfLargest(row)]?.caption === pairs[i]?.caption).length;

const indexOfLargest = (row: readonly number[]): number =>
  row.reduce((best, value, j) => (value > row[best]! ? j : best), 0);

function probeLabel(pairs: readonly StoryPair[], { step, similarities }: StoryProbe): string {
  const values = similarities.flat();
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return `<b>Step ${step.toLocaleString("en")}</b>: ${rightAnswers(pairs, similarities)} of ${pairs.length} pictures find their caption; cosines from ${cosine(low)} to ${cosine(high)}`;
}

const cosine = (value: number): string => value.toFixed(2).replace("-", "−");

/** 0 for the least alike pair of the matrix, 1 for the most. */
function strengths(similarities: StoryProbe["similarities"]): number[][] {
  const values = similarities.flat();
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return similarities.map((row) => row.map((value) => (high > low ? (value - low) / (high - low) : 1)));
}

const opacity = (strength: number): string => coordinate(0.05 + 0.95 * strength);

/** One path for each of 16 shades: a matrix of 256 cells takes 4 KB. */
function smallMatrix(similarities: StoryProbe["similarities"]): string {
  const shades = new Map<number, string>();
  for (const [i, row] of strengths(similarities).entries()) {
    for (const [j, strength] of row.entries()) {
      const shade = Math.round(15 * strength) / 15;
      shades.set(shade, `${shades.get(shade) ?? ""}M${i} ${j}h1v1h-1z`);
    }
  }
  const paths = [...shades].map(([shade, d]) => `<path class="cell" fill-opacity="${opacity(shade)}" d="${d}"/>`);
  const side = similarities.length;
  return `<svg viewBox="0 0 ${side} ${side}" shape-rendering="crispEdges" aria-hidden="true">${paths.join("")}</svg>`;
}

const cell = 36;
const gap = 2;
const numbers = 26;
const pictures = 42;

function largeMatrix(pairs: readonly StoryPair[], similarities: StoryProbe["similarities"]): string {
  const step = cell + gap;
  const [width, height] = [numbers + pairs.length * step, pictures + pairs.length * step];
  const strength = strengths(similarities);
  const body = pairs.flatMap(({ picture, caption }, i) => {
    const x = numbers + i * step;
    const best = indexOfLargest(similarities[i]!);
    return [
      `<image x="${x}" y="0" width="${cell}" height="${cell}" preserveAspectRatio="xMidYMid slice" href="${escapeXml(picture)}"><title>${escapeXml(caption)}</title></image>`,
      `<text class="faint" x="${numbers - 8}" y="${pictures + i * step + cell / 2 + 5}" text-anchor="end" font-size="14">${i + 1}</text>`,
      ...pairs.map(
        (text, j) =>
          `<rect class="cell" x="${x}" y="${pictures + j * step}" width="${cell}" height="${cell}" rx="4" fill-opacity="${opacity(strength[i]![j]!)}"><title>${i + 1}, “${escapeXml(text.caption)}”</title></rect>`,
      ),
      `<rect class="${best === i || pairs[best]!.caption === caption ? "cellframe" : "cellframe wrong"}" x="${x + 1}" y="${pictures + best * step + 1}" width="${cell - 2}" height="${cell - 2}" rx="3"/>`,
    ];
  });
  return `<svg id="probe-matrix" viewBox="0 0 ${width} ${height}" role="img" aria-label="Similarities of the probe's pictures and captions">${body.join("")}</svg>`;
}

function pairList(pairs: readonly StoryPair[], similarities: StoryProbe["similarities"]): string {
  const items = pairs.map(({ picture, caption }, i) => {
    const rank = rankText(pairs, similarities, i);
    return `<li><span class="no">${i + 1}</span><img src="${escapeXml(picture)}" alt=""><span class="caption">${escapeXml(caption)}</span><span class="rank${rank === "found" ? " first" : ""}">${rank}</span></li>`;
  });
  return `<ol class="pairs">${items.join("")}</ol>`;
}

/** Where a picture's own caption stands among all. */
function rankText(pairs: readonly StoryPair[], similarities: StoryProbe["similarities"], i: number): string {
  const row = similarities[i]!;
  const before = row.filter((value, j) => value > row[i]! && pairs[j]!.caption !== pairs[i]!.caption).length;
  return before === 0 ? "found" : `place ${before + 1}`;
}

/** At most `count` of `values`, first and last included. */
function evenly<T>(values: readonly T[], count: number): T[] {
  if (values.length <= count) return [...values];
  return Array.from({ length: count }, (_, i) => values[Math.round((i * (values.length - 1)) / (count - 1))]!);
}

/** Moves the large matrix to another step; listens at the document, so that a live page may replace the part. */
export const probeScript = `
document.addEventListener("input",({target})=>{if(target.id==="probe-slider")showProbe(+target.value)});
document.addEventListener("click",({target})=>{const button=target.closest("[data-probe]");if(button)showProbe(+button.dataset.probe)});
function showProbe(index){
  const {label,values,best,ranks}=JSON.parse(document.getElementById("probe-data").textContent)[index];
  const matrix=document.getElementById("probe-matrix"),count=values.length;
  const cells=matrix.querySelectorAll(".cell"),frames=matrix.querySelectorAll(".cellframe");
  values.flat().forEach((value,i)=>cells[i].setAttribute("fill-opacity",0.05+0.0095*value));
  document.querySelectorAll(".pairs .rank").forEach((rank,i)=>{rank.textContent=ranks[i];rank.classList.toggle("first",ranks[i]==="found")});
  best.forEach((j,i)=>{frames[i].setAttribute("y",${pictures + 1}+j*${cell + gap});frames[i].classList.toggle("wrong",ranks[i]!=="found")});
  document.getElementById("probe-label").innerHTML=label;
  document.getElementById("probe-slider").value=index;
  document.querySelectorAll("[data-probe]").forEach(button=>button.setAttribute("aria-pressed",button.dataset.probe==index));
}`;
