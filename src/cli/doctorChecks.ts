/** @file The checks of `diptych doctor`: one subject a function, each deviation as a line of its own. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Checkpoint } from "../checkpoint/index.js";
import { cropPicture, toRgb } from "../image/index.js";
import { decodePicture } from "../image/node.js";
import type { Runtime } from "../runtime/index.js";
import { createClip, type Matrix, row } from "../tasks/index.js";
import type { Tokenizer } from "../tokenizer/index.js";
import { crops, doctorModels, drawPicture, texts } from "./doctorInputs.js";

export interface Check {
  readonly subject: string;
  readonly ok: boolean;
  /** What was compared, and by how much it deviates. */
  readonly finding: string;
}

/** What the references gave, in the order of `doctorInputs.ts`. */
export interface Reference {
  /** The programs and their versions. */
  readonly references: string;
  /** Ids of each text. */
  readonly texts: readonly (readonly number[])[];
  /** SHA-256 of each crop's RGB bytes. */
  readonly crops: readonly string[];
  readonly files: readonly {
    readonly format: string;
    /** By how much a correct decoder may differ. */
    readonly tolerance: number;
    /** The file, and the RGB bytes in it, in base64. */
    readonly file: string;
    readonly rgb: string;
  }[];
  /** Features [2, E] of each model, from float64. */
  readonly models: readonly { readonly name: string; readonly image: number[]; readonly text: number[] }[];
}

/** Lies as far from `src/cli` as from `dist/cli`. */
const asset = new URL("../../assets/doctor.json", import.meta.url);

export async function readReference(): Promise<Reference> {
  return JSON.parse(await readFile(asset, "utf8"));
}

/** Largest deviation of features, as a share of the largest: float32 leaves about 1e-6. */
const tolerance = 1e-4;

export function checkTokenizer(tokenizer: Tokenizer, reference: Reference): Check {
  const subject = "tokenizer";
  if (tokenizer.vocabularySize < 49_408) {
    const finding = `a vocabulary of its own, ${tokenizer.vocabularySize} tokens: nothing to compare with`;
    return { subject, ok: true, finding };
  }
  const differing = texts.filter((text, i) => tokenizer.encode(text).join() !== reference.texts[i]!.join());
  if (differing.length === 0) return { subject, ok: true, finding: `${texts.length} texts, the reference's ids` };
  const finding = `${differing.length} of ${texts.length} texts get other ids: ${differing.map((text) => JSON.stringify(text)).join(", ")}`;
  // transformers' own tokenizer repairs no text, and a folder's files may ask for it.
  return tokenizer.clean === "huggingface"
    ? { subject, ok: true, finding: `${finding} (as in transformers, whose tokenizer this checkpoint asks for)` }
    : { subject, ok: false, finding };
}

export function checkCrops(reference: Reference): Check {
  const differing = crops.filter(({ mode, config }, i) => {
    const crop = cropPicture(drawPicture(mode), config);
    return createHash("sha256").update(crop).digest("hex") !== reference.crops[i];
  });
  const finding = differing.length === 0 ? `${crops.length} crops, every byte the reference's` : "other bytes in ";
  const named = differing.map(({ mode, config }) => `${mode} ${config.resize} ${config.interpolation} ${config.size}`);
  return { subject: "pixels", ok: differing.length === 0, finding: finding + named.join(", ") };
}

export async function checkDecoders({ files }: Reference): Promise<Check[]> {
  return Promise.all(
    files.map(async ({ format, tolerance, file, rgb }) => {
      const subject = `decoding ${format}`;
      try {
        const decoded = toRgb(await decodePicture(Buffer.from(file, "base64"), { name: `a ${format} file` }));
        const deviation = largestDeviation(decoded, Buffer.from(rgb, "base64"));
        const finding = deviation === 0 ? "every byte the reference's" : `differs by at most ${deviation} of 255`;
        return { subject, ok: deviation <= tolerance, finding };
      } catch (error) {
        return { subject, ok: false, finding: error instanceof Error ? error.message : String(error) };
      }
    }),
  );
}

export async function checkTowers(runtime: Runtime, { models }: Reference): Promise<Check[]> {
  const checks: Check[] = [];
  for (const [i, { name, checkpoint, pixels, ids }] of doctorModels().entries()) {
    const clip = createClip(checkpoint, runtime);
    const image = relativeDeviation((await clip.encodeImage(pixels)).data, models[i]!.image);
    const text = relativeDeviation((await clip.encodeText(ids)).data, models[i]!.text);
    await clip.dispose();
    checks.push({
      subject: `towers, ${name}`,
      ok: image < tolerance && text < tolerance,
      finding: `differ by ${image.toExponential(1)} (pictures) and ${text.toExponential(1)} (texts) of the largest value`,
    });
  }
  return checks;
}

/** A checkpoint has no reference at hand: it must be finite, and answer the same in company as alone. */
export async function checkCheckpoint(checkpoint: Checkpoint, runtime: Runtime): Promise<Check[]> {
  const broken = [...checkpoint.parameters]
    .filter(([, { data }]) => !data.every(Number.isFinite))
    .map(([name]) => name);
  const weights = {
    subject: "weights",
    ok: broken.length === 0,
    finding: broken.length === 0 ? "every number is finite" : `numbers that are not finite in ${broken.join(", ")}`,
  };
  const clip = createClip(checkpoint, runtime);
  const pictures = (["RGB", "L", "RGBA"] as const).map((mode) => drawPicture(mode));
  const image = await aloneAndTogether((some) => clip.embedImages(some), pictures, "pictures");
  const text = checkpoint.tokenizer
    ? await aloneAndTogether((some) => clip.embedTexts(some, { truncate: true }), texts, "texts")
    : { subject: "texts", ok: true, finding: "not tried: the checkpoint has no tokenizer" };
  await clip.dispose();
  return [weights, image, text];
}

async function aloneAndTogether<T>(
  embed: (items: readonly T[]) => Promise<Matrix>,
  items: readonly T[],
  subject: string,
): Promise<Check> {
  const together = await embed(items);
  let deviation = 0;
  for (const [i, item] of items.entries()) {
    deviation = worse(deviation, largestDeviation((await embed([item])).data, row(together, i)));
  }
  const finding = `${items.length} embedded alone and together differ by ${deviation.toExponential(1)}`;
  return { subject, ok: deviation < tolerance, finding };
}

/** NaN stays the worst. */
const worse = (a: number, b: number): number => (Number.isNaN(a) ? a : b > a || Number.isNaN(b) ? b : a);

/** Infinite where lengths differ. */
function largestDeviation(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < actual.length; i++) largest = worse(largest, Math.abs(actual[i]! - expected[i]!));
  return largest;
}

const relativeDeviation = (actual: ArrayLike<number>, expected: readonly number[]): number =>
  largestDeviation(actual, expected) / Math.max(...expected.map(Math.abs));
