import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteReader, tarMembers } from "../../src/data/tar.js";
import { DiptychError } from "../../src/errors.js";
import { tarOf } from "./tarOf.js";

const reader = (bytes: Uint8Array): ByteReader => ({
  size: bytes.length,
  read: async (offset, length) => bytes.subarray(offset, offset + length),
});

async function list(bytes: Uint8Array): Promise<{ files: Record<string, string>; error: DiptychError | null }> {
  const files: Record<string, string> = {};
  try {
    for await (const { name, offset, size } of tarMembers(reader(bytes), "a.tar")) {
      files[name] = new TextDecoder().decode(bytes.subarray(offset, offset + size));
    }
    return { files, error: null };
  } catch (error) {
    if (!(error instanceof DiptychError)) throw error;
    return { files, error };
  }
}

describe("tarMembers", () => {
  test("finds files whose names and sizes are written in each of the usual ways", async () => {
    const long = `${"folder/".repeat(30)}picture.jpg`;
    const split = `${"d".repeat(90)}/${"f".repeat(60)}.txt`;
    const archive = tarOf([
      { name: "./a.txt", content: "first" },
      { name: "folder", content: "", type: "5" },
      { name: split, content: "prefix field" },
      { name: long, content: "gnu", form: "gnu-long" },
      { name: `${long}.ünïcode`, content: "pax", form: "pax" },
      { name: "binary.txt", content: "x".repeat(1300), form: "binary-size" },
      { name: "link", content: "", type: "2" },
      { name: "last.txt", content: "" },
    ]);
    expect(await list(archive)).toEqual({
      files: {
        "a.txt": "first",
        [split]: "prefix field",
        [long]: "gnu",
        [`${long}.ünïcode`]: "pax",
        "binary.txt": "x".repeat(1300),
        "last.txt": "",
      },
      error: null,
    });
  });

  test("reads headers only: a file of a gigabyte costs no more than a small one", async () => {
    const size = 2 ** 30;
    const head = tarOf([{ name: "big.bin", content: "" }]).subarray(0, 512);
    head.set(tarOf([{ name: "big.bin", content: "", form: "binary-size" }]).subarray(0, 512));
    head[130] = 0;
    new DataView(head.buffer, head.byteOffset).setUint32(132, size);
    head.set(new TextEncoder().encode("        "), 148);
    const sum = head.reduce((total, byte) => total + byte, 0);
    head.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
    let bytesRead = 0;
    const archive: ByteReader = {
      size: 512 + size + 1024,
      read: async (offset, length) => {
        bytesRead += length;
        const bytes = new Uint8Array(length);
        if (offset === 0) bytes.set(head);
        return bytes;
      },
    };
    const members = [];
    for await (const member of tarMembers(archive, "a.tar")) members.push(member);
    expect(members).toEqual([{ name: "big.bin", offset: 512, size }]);
    expect(bytesRead).toBeLessThan(200_000);
  });

  test("an archive cut anywhere keeps the files before the cut, unchanged, and says that it is cut", async () => {
    const entries = [1, 2, 3].map((i) => ({ name: `${i}.txt`, content: String(i).repeat(i * 300) }));
    const archive = tarOf(entries);
    const whole = Object.entries((await list(archive)).files);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: archive.length - 1024 }), async (length) => {
        const { files, error } = await list(archive.subarray(0, length));
        expect(error?.code).toBe("DamagedShard");
        expect(Object.entries(files)).toEqual(whole.slice(0, Object.keys(files).length));
      }),
    );
  });

  test("a flipped byte in a header is found by its checksum", async () => {
    const archive = Buffer.from(tarOf([{ name: "a.txt", content: "a" }]));
    archive[3]! ^= 1;
    expect((await list(archive)).error?.message).toMatchInlineSnapshot(
      `"DamagedShard: a.tar has no valid tar header at byte 0. Download or pack the shard again."`,
    );
  });

  test("gzip is named", async () => {
    const gzip = new Uint8Array(600).fill(7);
    gzip.set([0x1f, 0x8b]);
    expect((await list(gzip)).error?.problem).toContain("compressed with gzip");
  });

  test("random bytes, and headers with random bytes in them, end with a DiptychError or a list", async () => {
    const archive = tarOf([
      { name: "a".repeat(200), content: "pax", form: "pax" },
      { name: "b".repeat(200), content: "gnu", form: "gnu-long" },
    ]);
    const mutated = fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(255)), { maxLength: 20 }).map((changes) => {
      const bytes = Buffer.from(archive);
      for (const [at, value] of changes) bytes[at] = value;
      for (let at = 0; at + 512 <= bytes.length; at += 512)
        if (bytes[at + 257] === 0x75) repairChecksum(bytes.subarray(at, at + 512));
      return new Uint8Array(bytes);
    });
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.uint8Array({ maxLength: 3000 }), mutated),
        async (bytes) => void (await list(bytes)),
      ),
      {
        numRuns: 500,
      },
    );
  });
});

/** So that mutations reach the code behind the checksum. */
function repairChecksum(header: Buffer): void {
  header.write("        ", 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
}
