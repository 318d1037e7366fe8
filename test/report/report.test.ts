import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  curvesSvg,
  type RunStory,
  reportPage,
  runParts,
  similarityMatrixSvg,
  stateOf,
} from "../../src/report/index.js";
import { escapeXml, textWidth, ticks, truncateText, wrapText } from "../../src/report/svg.js";

const dot = "data:image/png;base64,iVBORw0KGgo=";

/** Opening and closing tags in balance and no bare ampersand: what an XML parser would trip over first. */
function expectWellFormed(svg: string): void {
  const open: string[] = [];
  for (const [, close, name, selfClosing] of svg.matchAll(/<(\/?)([a-zA-Z]+)(?:\s[^<>]*?)?(\/?)>/g)) {
    if (close) expect(open.pop()).toBe(name);
    else if (!selfClosing) open.push(name!);
  }
  expect(open).toEqual([]);
  expect(svg.replace(/&(amp|lt|gt|quot);/g, "")).not.toContain("&");
  expect(svg).not.toMatch(/NaN|undefined|Infinity/);
}

describe("similarityMatrixSvg", () => {
  test("shows a value for every pair, and frames the best text of each picture", () => {
    const svg = similarityMatrixSvg({
      images: [dot, dot],
      texts: ["a", "b", "c"],
      values: [0.1, 0.3, 0.2, 0.25, 0, 0.2],
    });
    for (const value of ["0.10", "0.30", "0.20", "0.25", "0.00"]) expect(svg).toContain(`>${value}</text>`);
    expect(svg.match(/<rect class="frame"/g)).toHaveLength(2);
    expect([...svg.matchAll(/font-weight="700">([\d.]+)</g)].map(([, value]) => value)).toEqual(["0.30", "0.25"]);
  });

  test("stretches the colour over the values that occur", () => {
    const svg = similarityMatrixSvg({ images: [dot], texts: ["a", "b"], values: [0.2, 0.3] });
    expect(svg).toContain('fill-opacity="0.06"');
    expect(svg).toContain('fill-opacity="1"');
  });

  test("is well formed whatever the captions hold", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: "binary" }), { minLength: 1, maxLength: 4 }),
        fc.string(),
        (texts, title) =>
          expectWellFormed(similarityMatrixSvg({ title, images: [dot], texts, values: texts.map((_, j) => j / 10) })),
      ),
      { numRuns: 50 },
    );
  });
});

describe("curvesSvg", () => {
  test("is well formed with an empty series, a constant, and values that are not finite", () => {
    expectWellFormed(
      curvesSvg({
        title: "a < b",
        panels: [
          { title: "empty", series: [{ name: "none", points: [] }] },
          { title: "constant", series: [{ name: "one", points: [[1, 5]] }] },
          {
            title: "broken",
            series: [
              {
                name: "train",
                points: [
                  [0, 1],
                  [1, Number.NaN],
                  [2, 3],
                  [3, Number.POSITIVE_INFINITY],
                ],
              },
              {
                name: "held out",
                points: [
                  [0, 2],
                  [3, 1],
                ],
              },
            ],
          },
        ],
      }),
    );
  });

  test("marks a level beside the curves, and keeps it in sight", () => {
    const points = [0, 1, 2].map((x) => [x, 1] as const);
    const svg = curvesSvg({
      panels: [{ title: "loss", series: [{ name: "loss", points }], level: { name: "chance", value: 5 } }],
    });
    const [, y] = /<line class="mark"[^>]* y1="([\d.]+)"/.exec(svg)!;
    expect(Number(y)).toBeGreaterThan(36);
    expect(svg).toContain(">chance</text>");
  });

  test("writes the values at two lines' ends beside each other, not over each other", () => {
    const line = (name: string, end: number) => ({ name, points: [[0, 0] as const, [1, end] as const] });
    const svg = curvesSvg({ panels: [{ title: "two", series: [line("a", 1), line("b", 0.99)] }] });
    const [first, second] = [...svg.matchAll(/y="([\d.]+)" font-size="12" font-weight="600">/g)].map(([, y]) =>
      Number(y),
    );
    expect(second! - first!).toBeGreaterThanOrEqual(13);
  });

  test("keeps a single spike of a long run and stays small", () => {
    const points = Array.from({ length: 100_000 }, (_, i) => [i, i === 54_321 ? 100 : 0] as const);
    const svg = curvesSvg({ panels: [{ title: "gradient norm", series: [{ name: "norm", points }] }] });
    expect(svg.length).toBeLessThan(40_000);
    const heights = [...svg.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map(([, y]) => Number(y));
    expect(Math.max(...heights) - Math.min(...heights)).toBeGreaterThan(100);
  });
});

describe("a run's page", () => {
  const story = (caption: string, note: string): RunStory => ({
    name: note,
    state: "finished",
    recipe: { batchSize: 8, data: [{ table: caption }] },
    steps: Array.from({ length: 60 }, (_, step) => ({
      step,
      steps: 60,
      epoch: 0,
      loss: step === 30 ? null : 2 - step / 60,
      imageAccuracy: 0.1,
      textAccuracy: 0.2,
      logitScale: 14,
      gradientNorm: step === 30 ? null : 1,
      learningRate: 1e-3,
      seconds: 1,
      pairsPerSecond: 8,
      waiting: 0,
    })),
    remarks: [{ code: "X", severity: "warning", step: 3, what: note, why: caption, suggestion: note }],
    validations: [10, 50].map((step) => ({
      step,
      best: true,
      textToImage: { "recall@1": step / 100 },
      imageToText: { "recall@1": 0.3 },
    })),
    pairs: [caption, "another"].map((text) => ({ caption: text, picture: dot })),
    probes: [0, 20].map((step) => ({
      step,
      similarities: step === 0 ? [[0.2, 0.3], [0.1, 0.1]] : [[0.4, 0.1], [0, 0.3]], // biome-ignore format: matrices
    })),
  });
  const html = (id: string, given: RunStory): string => runParts(given).find((part) => part.id === id)!.html;
  /** With the elements closed that HTML leaves open. */
  const asXml = (markup: string): string => markup.replace(/<(br|img|input)([^<>]*)>/g, "<$1$2/>");

  test("is well formed whatever captions, names and remarks hold, and the probe's data stays data", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string(), (caption, note) => {
        const [before, data, after] = html("probe", story(caption, note)).split(/<script[^>]*>|<\/script>/);
        expectWellFormed(
          asXml(["head", "remarks", "curves", "recipe"].map((id) => html(id, story(caption, note))).join("")),
        );
        expectWellFormed(asXml(before!));
        expect(after).toBe("");
        expect(JSON.parse(data!)).toHaveLength(2);
      }),
      { numRuns: 30 },
    );
  });

  test("says how many pictures find their caption at the last probe, and frames the wrong answers of each", () => {
    const probe = html("probe", story("one", ""));
    expect(probe).toContain("<b>Step 20</b>: 2 of 2 pictures find their caption; cosines from 0.00 to 0.40");
    expect(probe).toContain("step 0<br>0 of 2");
    expect(probe).not.toContain("cellframe wrong");
    const { pairs, probes, ...rest } = story("one", "");
    expect(html("probe", { ...rest, pairs, probes: probes.slice(0, 1) })).toContain("cellframe wrong");
  });

  test("takes pairs of one caption for each other's answers", () => {
    expect(html("probe", story("another", ""))).toContain("step 0<br>2 of 2");
  });

  test("sums up the last steps and the best validation", () => {
    const head = html("head", story("one", ""));
    expect(head).toContain("Means of the last 20 steps.");
    expect(head).toContain("behind step 51: recall@1 50% of pictures by text, 30% of texts by picture");
  });

  test.each([
    ["that ran out of patience", 50, [true, false, false], "stopped early", "2 validations in a row brought no better"],
    ["that got better again", 50, [true, false, true], "unfinished", undefined],
    ["that waits for less than its patience", 50, [false, true, false], "unfinished", undefined],
    ["that went on behind its last validation", 52, [true, false, false], "unfinished", undefined],
    ["whose patience ran out at its last step", 59, [true, false, false], "finished", undefined],
  ] as const)("of a run %s says how it ended", (_, lastStep, bests, state, why) => {
    const told = story("one", "");
    const run = {
      ...told,
      recipe: { ...told.recipe, validation: { every: 10, patience: 2, metric: "recall@1" } },
      steps: told.steps.slice(0, lastStep + 1),
      validations: bests.map((best, i) => ({
        step: [30, 40, lastStep === 52 ? 50 : lastStep][i]!,
        best,
        textToImage: { "recall@1": 0.1 },
        imageToText: { "recall@1": 0.1 },
      })),
    };
    expect(stateOf(run, "unfinished")).toBe(state);
    const page = reportPage({ ...run, state: stateOf(run, "unfinished") });
    if (why) expect(page).toContain(`${why} recall@1 than behind step 31.`);
    else expect(page).not.toContain("brought no better");
  });

  test("of a run that has not begun says so", () => {
    const page = reportPage({
      name: "new",
      state: "unfinished",
      recipe: {},
      steps: [],
      remarks: [],
      validations: [],
      pairs: [],
      probes: [],
    });
    expect(page).toContain("No step has been logged yet.");
    expect(page).not.toMatch(/NaN|undefined/);
  });
});

describe("text and numbers", () => {
  test("wrapped text keeps its words and its room, and only cut text ends in an ellipsis", () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 4, max: 30 }), fc.integer({ min: 1, max: 4 }), (text, room, count) => {
        const lines = wrapText(text, room, count);
        expect(lines.length).toBeLessThanOrEqual(count);
        for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(room);
        if (!text.includes("…") && !lines.join("").includes("…")) {
          expect(lines.join(" ")).toBe(text.split(/\s+/).filter(Boolean).join(" "));
        }
      }),
    );
    expect(truncateText("a photograph of a dog", 6)).toBe("a photogr…");
  });

  test("escaping leaves no markup and no character that XML forbids", () => {
    expect(escapeXml('<a href="x">&\u0000\ud800')).toBe("&lt;a href=&quot;x&quot;&gt;&amp;\u{FFFD}\u{FFFD}");
  });

  test("ticks are round and inside the range", () => {
    expect(ticks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks(0.13, 0.37, 4)).toEqual([0.2, 0.3]);
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, min: -1e9, max: 1e9 }),
        fc.double({ noNaN: true, min: 1e-6, max: 1e9 }),
        (low, size) => {
          const all = ticks(low, low + size, 4);
          expect(all.length).toBeLessThanOrEqual(10);
          for (const tick of all) {
            expect(tick).toBeGreaterThanOrEqual(low - size * 1e-6 - Math.abs(low) * 1e-9);
            expect(tick).toBeLessThanOrEqual(low + size * (1 + 1e-6) + Math.abs(low) * 1e-9);
          }
        },
      ),
    );
  });
});
