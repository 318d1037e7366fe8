/**
 * @file How fast a ViT-B/32 embeds: files and texts a second, Diptych beside transformers.js and open_clip, in turns.
 * usage: node bench/embed.mjs [--rounds 3]
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseArgs } from "node:util";
import { saveCheckpoint } from "../dist/checkpoint/node.js";
import { parameterTable, presets } from "../dist/clip/index.js";
import { openaiPreprocess } from "../dist/image/index.js";
import { noise } from "./measure.mjs";
import { drawPictures } from "./pictures.mjs";
import { besideDiptych, inTurns, report } from "./turns.mjs";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "3" } } });
const here = import.meta.dirname;
const scripts = path.resolve(process.env.DIPTYCH_BENCH_SCRIPTS ?? path.join(here, "../../shared/bench"));
const transformersJs = process.env.DIPTYCH_BENCH_TRANSFORMERSJS ?? here;
const peerModel = process.env.DIPTYCH_BENCH_B32 ?? "";

/** The peers' words for what we measure under our own; "decode only" and "preprocess only" have no counterpart. */
const sameMeasure = new Map([
  ["tower only, batch 16", "picture tower, batch 16"],
  ["file to embedding", "files to embeddings"],
  ["texts padded to 77", "texts, 77 tokens"],
  ["texts padded to longest", "texts to embeddings"],
  ["picture tower fp32", "picture tower, batch 16"],
  ["files to embeddings fp32", "files to embeddings"],
  ["text tower, 77 tokens, fp32", "texts, 77 tokens"],
]);

function readTransformersJs(line) {
  const [, what, rate] = /^(.+) ([\d.]+) \/s$/.exec(line) ?? [];
  return sameMeasure.has(what) ? { what: sameMeasure.get(what), per_second: Number(rate) } : null;
}

function readOpenClip(line) {
  if (!line.startsWith("{")) return null;
  const { what, per_second } = JSON.parse(line);
  return { what: sameMeasure.get(what) ?? what, per_second };
}

const room = mkdtempSync(path.join(tmpdir(), "diptych-bench-"));
try {
  const pictures = path.join(room, "pictures");
  mkdirSync(pictures);
  await drawPictures(pictures, 32);

  // Speed does not depend on the weights, so random ones serve.
  const model = path.join(room, "model");
  const config = presets["ViT-B-32"];
  const parameters = new Map(
    parameterTable(config).map(({ name, shape }) => [name, { data: noise(shape.reduce((a, b) => a * b, 1)), shape }]),
  );
  await saveCheckpoint(model, { config, preprocess: openaiPreprocess(224), tokenizer: null, parameters });

  const script = path.join(scripts, "transformersjs_embed.mjs");
  const measurements = await inTurns(
    [
      { name: "Diptych", command: [process.execPath, path.join(here, "embedDiptych.mjs"), model, pictures] },
      {
        name: "transformers.js",
        // Evaluated rather than run as a file, so that its imports are looked up in the working directory.
        command: [
          process.execPath,
          "--input-type=module",
          "--eval",
          existsSync(script) ? readFileSync(script, "utf8") : "throw new Error('no transformersjs_embed.mjs')",
          "transformersjs_embed",
          peerModel,
          pictures,
        ],
        cwd: transformersJs,
        read: readTransformersJs,
        absent:
          "Name the folder where @huggingface/transformers is installed in DIPTYCH_BENCH_TRANSFORMERSJS, export_b32.py's output in DIPTYCH_BENCH_B32, and the scripts' folder in DIPTYCH_BENCH_SCRIPTS.",
      },
      {
        name: "open_clip",
        command: [process.env.DIPTYCH_BENCH_PYTHON ?? "python3", path.join(scripts, "torch_embed.py"), pictures],
        read: readOpenClip,
        absent:
          "Name a Python that has torch and open_clip_torch in DIPTYCH_BENCH_PYTHON, and the scripts' folder in DIPTYCH_BENCH_SCRIPTS.",
      },
    ],
    Number(values.rounds),
  );

  console.log(
    "ViT-B/32, random weights, fp32 where not said otherwise; pictures are 1600×1200 JPEG files. Items a second.\n",
  );
  report(measurements, besideDiptych(measurements));
} finally {
  rmSync(room, { recursive: true });
}
