/** @file `diptych doctor`: known inputs through every part, and each deviation from what the Python references make of them. */
import { availableParallelism } from "node:os";
import { Command } from "commander";
import sharp from "sharp";
import type { Activation } from "../clip/index.js";
import { nodeRuntime } from "../runtime/node.js";
import { withClipTokenizer } from "../tasks/node.js";
import { loadClipTokenizer } from "../tokenizer/node.js";
import {
  type Check,
  checkCheckpoint,
  checkCrops,
  checkDecoders,
  checkTokenizer,
  checkTowers,
  readReference,
} from "./doctorChecks.js";
import { activationOption, openCheckpoint } from "./options.js";
import { print, printJson } from "./output.js";

interface Options {
  readonly activation?: Activation;
  readonly json?: true;
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("Check on this machine that texts, pixels and towers give the reference's numbers.")
    .argument("[checkpoint]", "one to check as well: its folder, its file of weights, or its published name")
    .addOption(activationOption())
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Exits with 1 when something deviates.

Examples:
  $ diptych doctor
  $ diptych doctor models/mine`,
    )
    .action(async (given: string | undefined, options: Options) => {
      const runtime = nodeRuntime();
      const reference = await readReference();
      const machine = {
        node: `${process.version} on ${process.platform} ${process.arch}, ${availableParallelism()} cores`,
        runtime: runtime.name,
        pictures: `sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}`,
        references: reference.references,
      };
      const checks = [
        checkTokenizer(await loadClipTokenizer(), reference),
        checkCrops(reference),
        ...(await checkDecoders(reference)),
        ...(await checkTowers(runtime, reference)),
      ];
      if (given !== undefined) {
        const checkpoint = await withClipTokenizer(await openCheckpoint(given, options.activation));
        const own = [
          ...(checkpoint.tokenizer ? [checkTokenizer(checkpoint.tokenizer, reference)] : []),
          ...(await checkCheckpoint(checkpoint, runtime)),
        ];
        checks.push(...own.map((check) => ({ ...check, subject: `${given}: ${check.subject}` })));
      }
      const ok = checks.every((check) => check.ok);
      if (options.json) printJson({ ok, machine, checks });
      else {
        for (const [part, version] of Object.entries(machine)) print(`${part.padEnd(11)}${version}`);
        for (const check of checks) print(line(check));
      }
      if (!ok) process.exitCode = 1;
    });
}

const line = ({ subject, ok, finding }: Check): string => `${ok ? "ok      " : "DEVIATES"}   ${subject}: ${finding}`;
