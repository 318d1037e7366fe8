/**
 * @file How fast inputs are prepared on one core: the resampler beside Pillow's, texts to ids beside open_clip's
 * tokenizer, in turns. usage: node bench/inputs.mjs [--rounds 5] [CAPTIONS, one a line]
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { inTurns, report } from "./turns.mjs";

const { values, positionals } = parseArgs({
  options: { rounds: { type: "string", default: "5" } },
  allowPositionals: true,
});
const here = import.meta.dirname;

/** Captions as short as most: few words are frequent, many are not. */
function madeUp(count) {
  const pick = (words) => words[Math.floor(words.length * Math.random() ** 2)];
  const counts = "a,two,three,some,many".split(",");
  const looks = "red,small,old,wooden,sleeping,striped,shiny,blurry,Victorian,hand-painted".split(",");
  const things = "dog,cat,car,house,child,bicycle,violin,lighthouse,espresso cup,café,woman's hat,giraffe".split(",");
  const places = "on the beach,in the snow,at night,near a river,beside the road,in 1984,, outdoors".split(",");
  return Array.from({ length: count }, () =>
    `${pick(counts)} ${pick(looks)} ${pick(things)} ${pick(places)} ${Math.random() < 0.1 ? Math.floor(Math.random() * 1e6) : ""}`.trim(),
  );
}

const room = mkdtempSync(path.join(tmpdir(), "diptych-bench-"));
try {
  const captions = path.join(room, "captions.txt");
  const given = positionals[0] && readFileSync(positionals[0], "utf8").split("\n").filter(Boolean);
  writeFileSync(captions, (given || madeUp(20_000)).join("\n"));
  const measurements = await inTurns(
    [
      { name: "Diptych", command: [process.execPath, path.join(here, "inputsDiptych.mjs"), captions] },
      {
        name: "Python",
        command: [process.env.DIPTYCH_BENCH_PYTHON ?? "python3", path.join(here, "inputs_python.py"), captions],
        absent: "Name a Python that has pillow, numpy and open_clip_torch in DIPTYCH_BENCH_PYTHON.",
      },
    ],
    Number(values.rounds),
  );
  console.log("One core. Pictures are 1600×1200 RGB, resized to 224×224, bicubic with antialias. Items a second.\n");
  const peer = (what) => measurements.find((one) => one.system === "Python" && one.what === what);
  report(measurements, {
    "Diptych is": (one) => {
      const other = peer(one.what);
      return other && other !== one ? `${(one.median / other.median).toFixed(2)}×` : "";
    },
  });
} finally {
  rmSync(room, { recursive: true });
}
