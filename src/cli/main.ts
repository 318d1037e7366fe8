#!/usr/bin/env node
/** @file The command `diptych`: puts the commands together, and ends in words that a user can act on. */
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { classifyCommand } from "./classify.js";
import { convertCommand } from "./convert.js";
import { demoCommand } from "./demo.js";
import { doctorCommand } from "./doctor.js";
import { embedCommand } from "./embed.js";
import { evaluateCommand } from "./evaluate.js";
import { inspectCommand } from "./inspect.js";
import { endQuietlyOnClosedPipe, fail } from "./output.js";
import { preprocessCommand } from "./preprocess.js";
import { reportCommand } from "./report.js";
import { searchCommand } from "./search.js";
import { similarityCommand } from "./similarity.js";
import { tokenizeCommand } from "./tokenize.js";
import { trainCommand } from "./train.js";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const program = new Command("diptych")
  .description("CLIP in TypeScript: pictures and texts in one space.")
  .version(version)
  .option("--verbose", "show where an error comes from")
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError("(--help shows what there is)");

for (const command of [
  trainCommand(),
  reportCommand(),
  embedCommand(),
  classifyCommand(),
  similarityCommand(),
  searchCommand(),
  evaluateCommand(),
  tokenizeCommand(),
  preprocessCommand(),
  convertCommand(),
  inspectCommand(),
  doctorCommand(),
  demoCommand(),
]) {
  adopt(program, command);
}

/** `addCommand` alone would leave a command without its parent's settings. */
function adopt(parent: Command, command: Command): void {
  command.copyInheritedSettings(parent);
  for (const each of command.commands) adopt(command, each);
  if (!parent.commands.includes(command)) parent.addCommand(command);
}

endQuietlyOnClosedPipe();
try {
  await program.parseAsync();
} catch (error) {
  fail(error, program.opts().verbose === true);
}
