/**
 * @file The door `diptych/browser` in a browser: it bundles without Node, and a page gets Node's numbers.
 * Chromium is Debian's, or the one that DIPTYCH_CHROMIUM names; without one the page's test is skipped.
 */
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { safetensorsBytes } from "../../src/checkpoint/index.js";
import { initialise } from "../../src/clip/index.js";
import { nodeRuntime } from "../../src/runtime/node.js";
import { config, embedSample } from "./sample.js";

const repository = path.resolve(import.meta.dirname, "../..");
const browser = process.env.DIPTYCH_CHROMIUM ?? "/usr/bin/chromium";

/** One ES module for a browser; a Node built-in anywhere in it is an error. */
const bundle = (entry: string) =>
  build({
    entryPoints: [path.join(repository, entry)],
    bundle: true,
    platform: "browser",
    format: "esm",
    minify: true,
    write: false,
    metafile: true,
    logLevel: "silent",
  });

/** Serves what `answer` has for a path, on a free port of this machine. */
async function serve(answer: (path: string) => { type: string; body: string | Uint8Array } | undefined) {
  const server = createServer((request, response) => {
    const found = answer(request.url ?? "");
    response.writeHead(found ? 200 : 404, { "content-type": found?.type ?? "text/plain" }).end(found?.body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}

/** Reproducible numbers in [0, 1) (Park & Miller 1988). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 0x7fffffff;
    return state / 0x7fffffff;
  };
}

test("diptych/browser bundles for a browser with nothing of Node and no native package in it", async () => {
  const { metafile } = await bundle("src/browser.ts");
  const packages = Object.keys(metafile.inputs).map((file) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]);
  expect([...new Set(packages)].filter((name) => name !== undefined)).toEqual([
    "zod",
    "@huggingface/tokenizers", // a chunk of its own where the bundler splits: it is loaded when it is used
  ]);
});

test.skipIf(!existsSync(browser))("a page in Chromium gets Node's embeddings", async () => {
  const parameters = initialise(config, randomFrom(1));
  const tensors = [...parameters].map(([name, { data, shape }]) => ({ name, data, shape }));
  const weights = Buffer.concat([...safetensorsBytes(tensors)]);
  const expected = await embedSample(weights, nodeRuntime());

  const [script] = (await bundle("test/browser/page.ts")).outputFiles;
  const wasm = path.join(repository, "node_modules/onnxruntime-web/dist");
  const server = await serve((url) => {
    if (url === "/")
      return { type: "text/html", body: '<!doctype html><script type="module" src="/page.js"></script>' };
    if (url === "/page.js") return { type: "text/javascript", body: script!.text };
    if (url === "/weights.safetensors") return { type: "application/octet-stream", body: weights };
    const file = /^\/wasm\/([\w.-]+\.(mjs|wasm))$/.exec(url);
    if (!file) return undefined;
    const type = file[2] === "wasm" ? "application/wasm" : "text/javascript";
    return { type, body: readFileSync(path.join(wasm, file[1]!)) };
  });
  const chrome = await chromium.launch({
    executablePath: browser,
    args: [
      ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ],
  });
  try {
    const page = await chrome.newPage();
    await page.goto(server.url, { waitUntil: "load" });
    const got = (await page.evaluate("embedInPage()")) as typeof expected;
    expect(got.images).toHaveLength(expected.images.length);
    expect(got.texts).toHaveLength(expected.texts.length);
    const difference = (a: readonly number[], b: readonly number[]) =>
      Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
    expect(difference(got.images, expected.images)).toBeLessThan(1e-4);
    expect(difference(got.texts, expected.texts)).toBeLessThan(1e-4);
  } finally {
    await chrome.close();
    server.close();
  }
});
