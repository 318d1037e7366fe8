/** @file `diptych report`: a run's curves, probe and remarks as one HTML file, or as a page that follows the run. */
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { Command } from "commander";
import { reportPage } from "../report/index.js";
import { parsePort, serveLivePage } from "./livePage.js";
import { notice, print } from "./output.js";
import { readRun } from "./runFolder.js";

interface Options {
  readonly out?: string;
  readonly watch?: string | true;
}

export function reportCommand(): Command {
  return new Command("report")
    .description("Write a run's curves, probe matrices, remarks and recipe as one HTML file.")
    .argument("<run>", "the run's folder")
    .option("-o, --out <file>", "the page; report.html in the run's folder unless given")
    .option("--watch [port]", "serve the page on this machine instead, and keep it up to date")
    .addHelpText(
      "after",
      `
Examples:
  $ diptych report runs/mini
  $ diptych report runs/mini --out mini.html
  $ diptych report runs/mini --watch`,
    )
    .action(async (folder: string, options: Options) => {
      const story = await readRun(folder);
      if (options.watch !== undefined) {
        const page = await serveLivePage(folder, parsePort(options.watch));
        notice(`${page.url} shows the run; Ctrl-C ends.`);
        process.once("SIGINT", page.close);
        return;
      }
      const file = options.out ?? path.join(folder, "report.html");
      await writeFile(file, reportPage(story));
      print(file);
    });
}
