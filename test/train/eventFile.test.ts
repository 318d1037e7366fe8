import { execFileSync } from "node:child_process";
import { appendFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodePng } from "../../src/image/node.js";
import { crc32c, createEventFile, frameRecord } from "../../src/train/eventFile.js";
import { readEvents, records } from "./events.js";

let folder: string;
const started = 1_700_000_000_000;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-events-"));
  const png = await encodePng(new Uint8Array(3 * 4 * 2).fill(200), 4, 2);
  const first = await createEventFile(folder, 0, () => started);
  for (let step = 0; step < 6; step++) {
    await first.write(step, [
      { tag: "loss", scalar: 5 - step },
      { tag: "accuracy/image", scalar: step / 10 },
    ]);
  }
  await first.write(5, [{ tag: "probe", png, width: 4, height: 2 }]);
  await first.close();
  // killed behind step 5, saved behind step 3: steps 4 and 5 are done again
  const second = await createEventFile(folder, 4, () => started + 60_000);
  for (let step = 4; step < 8; step++) await second.write(step, [{ tag: "loss", scalar: 50 - step }]);
  await second.close();
});
afterAll(() => rm(folder, { recursive: true }));

describe("crc32c", () => {
  /** RFC 3720, appendix B.4. */
  test.each([
    ["32 zeros", new Uint8Array(32), 0x8a9136aa],
    ["32 ones", new Uint8Array(32).fill(255), 0x62a8ab43],
    ["0 to 31", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
    ["31 to 0", Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ])("of %s is the RFC's", (_, bytes, sum) => {
    expect(crc32c(bytes)).toBe(sum);
  });
});

describe("an event file", () => {
  test("gives back every record, whatever its bytes", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (written) => {
        const read = [...records(Buffer.concat(written.map(frameRecord)))];
        expect(read.map((record) => [...record])).toEqual(written.map((record) => [...record]));
      }),
    );
  });

  test("holds its version, the session's start, and the values with their steps and times", async () => {
    const [version, start, first, ...rest] = await readEvents(folder);
    expect(version).toMatchObject({ version: "brain.Event:2", wallTime: started / 1000 });
    expect(start).toMatchObject({ starts: true, step: 0 });
    expect(first).toMatchObject({ step: 0, scalars: { loss: 5, "accuracy/image": 0 }, wallTime: started / 1000 });
    const image = rest.flatMap(({ images }) => Object.entries(images));
    expect(image).toMatchObject([["probe", { width: 4, height: 2 }]]);
    expect(image[0]![1].png.subarray(1, 4).toString()).toBe("PNG");
    expect(rest.filter(({ starts }) => starts).map(({ step }) => step)).toEqual([4]);
  });

  const python = process.env.DIPTYCH_BENCH_PYTHON;
  test.skipIf(!python || !process.env.DIPTYCH_SLOW)(
    "is read by TensorBoard, a resumed series without duplicates, also behind one that was killed",
    async () => {
      const [killed] = (await readdir(folder)).sort();
      await appendFile(path.join(folder, killed!), frameRecord(Uint8Array.of(1, 2, 3)).subarray(0, 14)); // in mid-write
      const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1]).Reload()
image = events.Images("probe") if "probe" in events.Tags()["images"] else []
print(json.dumps({
    "loss": [[e.step, e.value] for e in events.Scalars("loss")],
    "accuracy": [e.step for e in events.Scalars("accuracy/image")],
    "images": [[e.step, e.width, e.height] for e in image],
}))`;
      const read = JSON.parse(execFileSync(python!, ["-c", script, folder], { encoding: "utf8" }));
      expect(read.loss).toEqual([5, 4, 3, 2, 46, 45, 44, 43].map((value, step) => [step, value]));
      expect(read.accuracy).toEqual([0, 1, 2, 3]);
      expect(read.images).toEqual([]); // of step 5, done again
    },
  );
});
