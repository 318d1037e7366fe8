/**
 * @file Times contestants in turns, because a machine's speed drifts more than contestants differ: every round runs each
 * one once, in a process of its own, in alternating order; medians over the rounds and their ratios are what counts.
 *
 * A contestant is `{ name, command: [program, ...arguments], cwd?, read?, absent }`. Its process prints measurements, one
 * a line, as JSON `{ what, per_second }` (`items_per_second`, `precision` are understood too), or in a format that
 * `read(line)` turns into that. One whose process fails in the first round is left out, with the reason and `absent`,
 * which says what to install.
 */
import { spawn } from "node:child_process";

/** Everything that `command` prints on standard output, or an error with the last line of what it complained about. */
export function output([program, ...args], cwd) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let out = "";
    let complaint = "";
    child.stdout.on("data", (text) => (out += text));
    child.stderr.on("data", (text) => (complaint += text));
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) return resolve(out);
      const lines = complaint.trim().split("\n");
      reject(new Error(lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1)));
    });
  });
}

const readJson = (line) => {
  if (!line.startsWith("{")) return null;
  const { what, precision, per_second, items_per_second } = JSON.parse(line);
  return { what: what ?? precision, per_second: per_second ?? items_per_second };
};

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @returns measurements `{ system, what, rounds: number[], median }`, contestants in the order given */
export async function inTurns(contestants, rounds) {
  const found = new Map();
  let present = contestants;
  for (let round = 0; round < rounds; round++) {
    for (const contestant of round % 2 ? present.toReversed() : present) {
      process.stderr.write(`round ${round + 1} of ${rounds}: ${contestant.name}\n`);
      let text;
      try {
        text = await output(contestant.command, contestant.cwd);
      } catch (error) {
        if (round > 0 || !contestant.absent) throw error;
        process.stderr.write(`${contestant.name} did not run (${error.message}). ${contestant.absent}\n`);
        present = present.filter((other) => other !== contestant);
        continue;
      }
      for (const measured of text.split("\n").map(contestant.read ?? readJson)) {
        if (!measured) continue;
        const key = `${contestant.name}\n${measured.what}`;
        if (!found.has(key)) found.set(key, { system: contestant.name, what: measured.what, rounds: [] });
        found.get(key).rounds.push(measured.per_second);
      }
    }
  }
  return contestants.flatMap(({ name }) =>
    [...found.values()].filter(({ system }) => system === name).map((one) => ({ ...one, median: median(one.rounds) })),
  );
}

/** Rows of equal length as lines, the first column left-aligned, the others right. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)));
  const line = (row) =>
    row.map((cell, i) => (i ? String(cell).padStart(widths[i]) : String(cell).padEnd(widths[i]))).join("  ");
  return rows.map(line).join("\n");
}

/** A readable table on standard output, then one JSON line per measurement. `columns` adds cells: name → (measurement) → text. */
export function report(measurements, columns) {
  const header = ["", "median", "rounds", ...Object.keys(columns)];
  const rows = measurements.map((one) => [
    `${one.system}, ${one.what}`,
    one.median.toFixed(1),
    one.rounds.map((value) => value.toFixed(1)).join(" "),
    ...Object.values(columns).map((cell) => cell(one)),
  ]);
  console.log(`${table([header, ...rows])}\n`);
  const round = (value) => Number(value.toPrecision(5));
  for (const one of measurements) {
    console.log(JSON.stringify({ ...one, rounds: one.rounds.map(round), median: round(one.median) }));
  }
}

/** A column for `report`: how many times a peer's figure Diptych's is, in the peer's row. */
export const besideDiptych = (measurements) => ({
  "Diptych is": (one) => {
    const own = measurements.find(({ system, what }) => system === "Diptych" && what === one.what);
    return own && own !== one ? `${(own.median / one.median).toFixed(2)}×` : "";
  },
});
