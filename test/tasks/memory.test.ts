import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { saveCheckpoint } from "../../src/checkpoint/node.js";
import { loadClip } from "../../src/tasks/node.js";
import { tinyCheckpoint } from "./tiny.js";

test.skipIf(!process.env.DIPTYCH_SLOW)(
  "memory stays flat over 2,000 embedImages calls",
  { timeout: 600_000 },
  async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "diptych-"));
    await saveCheckpoint(path.join(folder, "model"), tinyCheckpoint());
    const clip = await loadClip(path.join(folder, "model"));
    const noise = { type: "gaussian", mean: 128, sigma: 60 } as const;
    const picture = await sharp({ create: { width: 320, height: 240, channels: 3, background: "#888", noise } })
      .jpeg()
      .toBuffer();
    let settled = 0;
    for (let call = 0; call < 2000; call++) {
      await clip.embedImages(Array.from({ length: 1 + (call % 5) }, () => new Uint8Array(picture)));
      if (call === 49) settled = process.memoryUsage.rss();
    }
    expect(process.memoryUsage.rss()).toBeLessThan(settled * 1.1);
    await clip.dispose();
    await rm(folder, { recursive: true });
  },
);
