/** @file What commands print: results on standard output, what happened on the way on standard error. */
import { DiptychError } from "../errors.js";

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value));
}

export function notice(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A reader that leaves early (`| head`) is no error. */
export function endQuietlyOnClosedPipe(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
}

/** Ends a command: what the user gave is told in two sentences, a bug of ours with its stack. */
export function fail(error: unknown, verbose: boolean): void {
  process.exitCode = 1;
  if (!(error instanceof DiptychError)) notice(`internal error: ${stackOf(error)}\nPlease report this.`);
  else notice(verbose ? stackOf(error) : `error: ${error.problem}\n${error.remedy}`);
}

const stackOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));

/** 0.3104 → "0.310"; columns of cosines stay aligned below zero. */
export const cosine = (value: number): string => value.toFixed(3).padStart(6);

export const percent = (share: number): string => `${(100 * share).toFixed(1)}%`.padStart(6);
