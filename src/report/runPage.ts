/**
 * @file A page about a training run, finished or under way: where it stands, what the diagnostician says, the curves, the
 * probe and the recipe. The live page is the same page: its parts are sent again when they change.
 */
import { type Panel, panelSvg } from "./curves.js";
import { whyStopped } from "./ending.js";
import { htmlPage, type Part } from "./html.js";
import { otherCosine, ownCosine, probeAccuracy, probePart, probeScript } from "./probe.js";
import type { RunStory, StoryProbe, StoryRemark, StoryStep, StoryValidation } from "./story.js";
import { escapeXml, shortNumber } from "./svg.js";

/** A file that stands for itself: no picture, font or script lies elsewhere. */
export const reportPage = (story: RunStory): string => htmlPage(story.name, runParts(story), [probeScript]);

/** The page of a run under way: listens to `events`, where the server names parts that changed. */
export const livePage = (story: RunStory): string => htmlPage(story.name, runParts(story), [probeScript, liveScript]);

/** The page's parts, in their order. */
export const runParts = (story: RunStory): readonly Part[] => [
  { id: "head", html: head(story) },
  { id: "remarks", html: remarks(story.remarks) },
  { id: "curves", html: curves(story) },
  { id: "probe", html: probePart(story.pairs, story.probes) },
  { id: "recipe", html: recipe(story.recipe) },
];

/** A part comes as JSON, so that its line breaks do not end the event. */
const liveScript = `
const events=new EventSource("events");
events.onmessage=({data})=>{const {id,html}=JSON.parse(data);document.getElementById(id).innerHTML=html};
events.onopen=()=>document.body.classList.remove("lost");
events.onerror=()=>document.body.classList.add("lost");`;

function bestValidation(validations: RunStory["validations"]): string {
  const recall = ({ textToImage, imageToText }: StoryValidation): number =>
    (textToImage["recall@1"] + imageToText["recall@1"]) / 2;
  const [first, ...others] = validations;
  if (!first) return "";
  const best = others.reduce((a, b) => (recall(b) > recall(a) ? b : a), first);
  const [pictures, texts] = [best.textToImage, best.imageToText].map((found) => percent(found["recall@1"]));
  return ` Held-out pairs at their best, behind step ${grouped(best.step + 1)}: recall@1 ${pictures} of pictures by text, ${texts} of texts by picture.`;
}

/** Tiles are means over so many steps; single batches jump. */
const recent = 20;

function head(story: RunStory): string {
  const { name, state, steps, recipe, validations } = story;
  const last = steps.at(-1);
  const title = `<h1>${escapeXml(name)}</h1>`;
  if (!last) return `${title}<p class="quiet">No step has been logged yet.</p>`;
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  const left = (last.steps - last.step - 1) * mean(steps, "seconds");
  const line = [
    `step ${grouped(last.step + 1)} of ${grouped(last.steps)}`,
    `epoch ${last.epoch + 1}`,
    `${duration(seconds)} of training`,
    ...(state === "running" ? [`about ${duration(left)} left`] : []),
  ];
  return [
    title,
    `<p class="quiet"><span${state === "running" ? ' class="live"' : ""}>${state}</span> · ${line.join(" · ")}</p>`,
    ...(state === "stopped early" ? [`<p class="quiet">${escapeXml(whyStopped(story) ?? "")}</p>`] : []),
    `<div class="bar"><i style="width:${((100 * (last.step + 1)) / last.steps).toFixed(2)}%"></i></div>`,
    tiles(steps, recipe),
    `<p class="quiet small tilenote">Means of the last ${Math.min(recent, steps.length)} steps.${bestValidation(validations)}</p>`,
  ].join("\n");
}

function tiles(steps: readonly StoryStep[], { batchSize }: RunStory["recipe"]): string {
  const chance = typeof batchSize === "number" ? `chance ${Math.log(batchSize).toFixed(3)}` : "";
  const pictured = (key: StepValue): string => percent(mean(steps, key));
  const values: readonly (readonly [value: string, label: string, below: string])[] = [
    [mean(steps, "loss").toFixed(3), "loss", chance],
    [pictured("imageAccuracy"), "in-batch accuracy", "picture to text"],
    [pictured("textAccuracy"), "in-batch accuracy", "text to picture"],
    [steps.at(-1)!.logitScale.toFixed(1), "logit scale", "limit 100"],
    [shortNumber(mean(steps, "gradientNorm")), "gradient norm", "before clipping"],
    [shortNumber(steps.at(-1)!.learningRate), "learning rate", ""],
    [shortNumber(mean(steps, "pairsPerSecond")), "pairs a second", ""],
    [pictured("waiting"), "waiting for data", "share of the time"],
  ];
  const cards = values.map(
    ([value, label, below]) => `<div class="card tile"><span>${label}</span><b>${value}</b><span>${below}</span></div>`,
  );
  return `<div class="tiles">${cards.join("")}</div>`;
}

type StepValue = Exclude<keyof StoryStep, "step" | "steps" | "epoch">;

function mean(steps: readonly StoryStep[], key: StepValue): number {
  const values = steps.slice(-recent).map((step) => step[key] ?? Number.NaN);
  return values.reduce((a, b) => a + b, 0) / values.length;
}

function remarks(all: readonly StoryRemark[]): string {
  if (all.length === 0) return "";
  const cards = [...all]
    .reverse()
    .map(
      ({ severity, step, what, why, suggestion }) =>
        `<div class="card remark ${severity}"><small>${severity}, step ${grouped(step + 1)}</small><p><b>${escapeXml(what)}</b></p><p>${escapeXml(why)}</p><p class="quiet">${escapeXml(suggestion)}</p></div>`,
    );
  return `<h2>Remarks</h2>${cards.join("")}`;
}

function curves({ steps, recipe, validations, pairs, probes }: RunStory): string {
  if (steps.length === 0) return "";
  const series = (name: string, key: StepValue) => ({
    name,
    points: steps.map((step) => [step.step, step[key] ?? Number.NaN] as const),
  });
  const probed = (name: string, measure: (probe: StoryProbe) => number) => ({
    name,
    points: probes.map((probe) => [probe.step, measure(probe)] as const),
  });
  const validated = (name: string, direction: "textToImage" | "imageToText") => ({
    name,
    points: validations.map((validation) => [validation.step, validation[direction]["recall@1"]] as const),
  });
  const found: Panel = {
    title: "probe pictures that find their caption",
    series: [probed("probe", (probe) => probeAccuracy(pairs, probe))],
  };
  const heldOut: Panel = {
    title: "recall@1 on held-out pairs",
    series: [validated("pictures", "textToImage"), validated("texts", "imageToText")],
  };
  const panels: readonly Panel[] = [
    { title: "loss", series: [series("loss", "loss")], ...chanceLevel(recipe) },
    { title: "in-batch accuracy", series: [series("pictures", "imageAccuracy"), series("texts", "textAccuracy")] },
    { title: "logit scale", series: [series("scale", "logitScale")] },
    { title: "gradient norm", series: [series("norm", "gradientNorm")] },
    { title: "learning rate", series: [series("rate", "learningRate")] },
    { title: "pairs a second", series: [series("speed", "pairsPerSecond")] },
    { title: "share of time waiting for data", series: [series("waiting", "waiting")] },
    validations.length > 0 ? heldOut : found,
    {
      title: "probe’s mean cosines",
      series: [probed("pairs", ownCosine), probed("others", otherCosine)],
    },
  ];
  return `<h2>Curves</h2><div class="curves">${panels.map((panel) => `<div class="card">${panelSvg(panel)}</div>`).join("")}</div>`;
}

const chanceLevel = ({ batchSize }: RunStory["recipe"]): Pick<Panel, "level"> =>
  typeof batchSize === "number" ? { level: { name: `chance: ln ${batchSize}`, value: Math.log(batchSize) } } : {};

function recipe(given: RunStory["recipe"]): string {
  const rows = Object.entries(given).map(
    ([key, value]) => `<dt>${escapeXml(key)}</dt><dd>${escapeXml(readable(value))}</dd>`,
  );
  return rows.length === 0 ? "" : `<h2>Recipe</h2><dl class="card recipe">${rows.join("")}</dl>`;
}

/** JSON with spaces; a list of objects a line each. */
function readable(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.some((item) => typeof item === "object")) return value.map(readable).join("\n");
  return JSON.stringify(value, null, 1).replace(/\n\s*/g, " ");
}

const grouped = (value: number): string => value.toLocaleString("en");
const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
