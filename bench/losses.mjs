/**
 * @file Losses of runs beside each other: the mean of each one's last steps, relative to the first run's, and a picture.
 * usage: node bench/losses.mjs [--last 100] [--svg FILE] RUN RUN…   (folders with a `log.jsonl`; steps that all have)
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { curvesSvg } from "../dist/report/index.js";
import { table } from "./turns.mjs";

const { values, positionals } = parseArgs({
  options: { last: { type: "string", default: "100" }, svg: { type: "string" } },
  allowPositionals: true,
});
const last = Number(values.last);

const logs = positionals.map((run) => ({
  name: path.basename(run),
  steps: readFileSync(path.join(run, "log.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line)),
}));
const common = Math.min(...logs.map(({ steps }) => steps.length));
const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
const runs = logs.map(({ name, steps }) => ({ name, losses: steps.slice(0, common).map(({ loss }) => loss) }));

/** Means of `last` steps after another. */
const smooth = (losses) =>
  Array.from({ length: Math.floor(losses.length / last) }, (_, i) => mean(losses.slice(i * last, (i + 1) * last)));

const [first] = runs;
const rows = runs.map(({ name, losses }) => {
  const [own, reference] = [losses, first.losses].map(smooth);
  const apart = own.map((value, i) => Math.abs(value / reference[i] - 1));
  const final = mean(losses.slice(-last));
  const relative = final / mean(first.losses.slice(-last)) - 1;
  return [name, final.toFixed(4), `${(100 * relative).toFixed(2)}%`, `${(100 * Math.max(...apart)).toFixed(2)}%`];
});
console.log(`${common} steps\n`);
console.log(table([["", `loss, last ${last}`, "to the first", "most apart"], ...rows]));

if (values.svg) {
  const series = runs.map(({ name, losses }) => ({
    name,
    points: smooth(losses).map((value, i) => [(i + 1) * last, value]),
  }));
  writeFileSync(values.svg, curvesSvg({ panels: [{ title: `Loss, means of ${last} steps`, series }] }));
}
