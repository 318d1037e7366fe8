import { existsSync } from "node:fs";
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type LivePage, parsePort, serveLivePage } from "../../src/cli/livePage.js";
import type { StoryProbe, StoryStep } from "../../src/report/index.js";
import { recipe, writePairs } from "../train/pairs.js";
import { diptych } from "./run.js";

let folder: string;
let page: LivePage;

const step = (number: number): StoryStep => ({
  step: number,
  steps: 10,
  epoch: 0,
  loss: 2 - number / 10,
  imageAccuracy: 0.5,
  textAccuracy: 0.25,
  logitScale: 14.3,
  gradientNorm: 1,
  learningRate: 1e-3,
  seconds: 1,
  pairsPerSecond: 8,
  waiting: 0.1,
});
const probe: StoryProbe = { step: 0, similarities: [[0.1, 0.2], [0.3, 0.4]] }; // biome-ignore format: a matrix
const write = (file: string, ...lines: readonly unknown[]): Promise<void> =>
  appendFile(path.join(folder, file), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-live-"));
  await write("log.jsonl", step(0), step(1));
  page = await serveLivePage(folder, 0);
});
afterEach(async () => {
  await page.close();
  await rm(folder, { recursive: true });
});

/** Parts as they arrive. */
async function* events(): AsyncGenerator<{ id: string; html: string }> {
  const response = await fetch(`${page.url}events`);
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      yield JSON.parse(text.slice("data: ".length, end));
      text = text.slice(end + 2);
    }
  }
}

async function part(stream: AsyncGenerator<{ id: string; html: string }>, id: string): Promise<string> {
  for (;;) {
    const { value, done } = await stream.next();
    if (done) throw new Error("the page's events have ended");
    if (value.id === id) return value.html;
  }
}

test("the page shows the run as its folder has it, and names nothing that lies elsewhere", async () => {
  const html = await (await fetch(page.url)).text();
  expect(html).toContain("step 2 of 10");
  expect(html).toContain('<span class="live">running</span>');
  expect(html.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(/https?:|src="(?!data:)|@import|url\(/);
  expect((await fetch(`${page.url}elsewhere`)).status).toBe(404);
});

test("parts are sent again when the run's files grow, the last state when it ends", async () => {
  const stream = events();
  expect(await part(stream, "head")).toContain("step 2 of 10");
  await write("log.jsonl", step(2));
  await writeFile(
    path.join(folder, "probe.json"),
    JSON.stringify(["a", "b"].map((caption) => ({ caption, picture: "" }))),
  );
  await write("probe.jsonl", probe);
  await write("remarks.jsonl", { code: "X", severity: "note", step: 2, what: "<what>", why: "why", suggestion: "do" });
  expect(await part(stream, "head")).toContain("step 3 of 10");
  expect(await part(stream, "remarks")).toContain("&lt;what&gt;");
  expect(await part(stream, "probe")).toContain("1 of 2 pictures find their caption");
  await write("log.jsonl", ...[3, 4, 5, 6, 7, 8, 9].map(step));
  const ended = page.close();
  expect(await part(stream, "head")).toContain("finished");
  await stream.return(undefined);
  await ended;
  page = await serveLivePage(folder, 0);
});

const browser = process.env.DIPTYCH_CHROMIUM ?? "/usr/bin/chromium";
test.skipIf(!existsSync(browser))(
  "in Chromium the page follows the run, and its slider goes back to an earlier step",
  async () => {
    await writeFile(
      path.join(folder, "probe.json"),
      JSON.stringify(["a", "b"].map((caption) => ({ caption, picture: "" }))),
    );
    await write("probe.jsonl", probe);
    const chrome = await chromium.launch({
      executablePath: browser,
      args: ["--no-sandbox", "--disable-dev-shm-usage"],
    });
    try {
      const tab = await chrome.newPage();
      const problems: string[] = [];
      tab
        .on("console", (message) => problems.push(message.text()))
        .on("pageerror", ({ message }) => problems.push(message));
      await tab.goto(page.url);
      await write("log.jsonl", step(2));
      await write("probe.jsonl", { step: 20, similarities: [[0.9, 0], [0, 0.9]] }); // biome-ignore format: a matrix
      await tab.getByText("step 3 of 10").waitFor();
      await tab.getByText("2 of 2 pictures").waitFor();
      const wrong = () => tab.locator(".cellframe.wrong").count();
      expect([await wrong(), await tab.locator(".pairs .first").count()]).toEqual([0, 2]);
      await tab.locator("#probe-slider").fill("0");
      await tab.getByText("1 of 2 pictures").waitFor();
      expect([await wrong(), await tab.locator(".pairs .first").count()]).toEqual([1, 1]);
      await tab.locator("[data-probe='1']").click();
      await tab.getByText("2 of 2 pictures").waitFor();
      expect(problems).toEqual([]);
    } finally {
      await chrome.close();
    }
  },
);

test("half a line waits for its other half, and a log cut by a resumed run is read anew", async () => {
  const stream = events();
  await part(stream, "head");
  const third = JSON.stringify(step(2));
  await appendFile(path.join(folder, "log.jsonl"), third.slice(0, 20));
  await appendFile(path.join(folder, "log.jsonl"), `${third.slice(20)}\n`);
  expect(await part(stream, "head")).toContain("step 3 of 10");
  await writeFile(path.join(folder, "log.jsonl"), `${JSON.stringify(step(0))}\n`);
  expect(await part(stream, "head")).toContain("step 1 of 10");
  await stream.return(undefined);
});

test("a port that is taken, and one that is none, are named", async () => {
  const other = createServer();
  const port = await new Promise<number>((resolve) => {
    other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port));
  });
  await expect(serveLivePage(folder, port)).rejects.toMatchObject({
    code: "PortTaken",
    problem: `Port ${port} is taken.`,
  });
  other.close();
  expect(parsePort("8000")).toBe(8000);
  expect(() => parsePort("recipe.json")).toThrow(/"recipe.json" is no port/);
  expect(() => parsePort("70000")).toThrow(/no port/);
});

test("diptych train --watch tells the page's address and leaves what is watched by", async () => {
  const data = path.join(folder, "data");
  await writePairs(data);
  const given = { ...recipe({ epochs: 2 }), data: { table: "captions.csv" } };
  await writeFile(path.join(data, "recipe.json"), JSON.stringify(given));
  const train = (out: string, port: string) =>
    diptych(["train", path.join(data, "recipe.json"), "--out", path.join(folder, out), "--watch", port]);
  expect(await train("run", "0")).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/http:\/\/127\.0\.0\.1:\d+\/ shows the run/),
  });
  const left = await readdir(path.join(folder, "run"));
  expect(left).toEqual(expect.arrayContaining(["probe.json", "probe.jsonl", "recipe.json", "tensorboard"]));
  const taken = new URL(page.url).port;
  expect(await train("other", taken)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`Port ${taken} is taken.`),
  });
});

test("diptych report writes the page, and says what is no run", async () => {
  const { code, stdout } = await diptych(["report", folder]);
  expect([code, stdout.trim()]).toEqual([0, path.join(folder, "report.html")]);
  const html = await readFile(path.join(folder, "report.html"), "utf8");
  expect(html).toContain("unfinished");
  expect(html).not.toContain("EventSource");
  const empty = await diptych(["report", path.join(folder, "nowhere")]);
  expect(empty).toMatchObject({ code: 1, stderr: expect.stringContaining("has no log of a run") });
});
