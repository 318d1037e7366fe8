/** @file Runs the real command in a process of its own, as a user does. */
import { spawn } from "node:child_process";
import path from "node:path";

const main = path.resolve(import.meta.dirname, "../../dist/cli/main.js");

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export function diptych(
  args: readonly string[],
  { stdin = "", cwd }: { stdin?: string; cwd?: string } = {},
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], cwd === undefined ? {} : { cwd });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject).on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin.on("error", () => {}).end(stdin);
  });
}
