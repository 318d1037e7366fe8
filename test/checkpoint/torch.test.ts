import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadCheckpoint, readSafetensors } from "../../src/checkpoint/node.js";
import { memorySource } from "../../src/checkpoint/source.js";
import { readTensor } from "../../src/checkpoint/storage.js";
import { parseTorch } from "../../src/checkpoint/torch.js";
import { DiptychError } from "../../src/errors.js";
import { hasShared, shared } from "../goldens.js";
import {
  archive,
  bytes,
  call,
  dictionary,
  floats,
  global,
  int,
  legacy,
  pickle,
  tensor,
  text,
  zip,
} from "./torchFiles.js";

const matrix = tensor({ shape: [2, 3], strides: [3, 1] });
const state = dictionary(text("w"), matrix);

async function read(file: Uint8Array) {
  const { tensors, isOpenAI } = await parseTorch(memorySource("m.pt", file));
  const numbers = await Promise.all(tensors.map(readTensor));
  return { isOpenAI, tensors: numbers.map(({ name, shape, data }) => [name, shape, [...data]]) };
}
const problemOf = (file: Uint8Array) =>
  read(file).then(
    () => "read",
    (error: DiptychError) => `${error.code}: ${error.problem}`,
  );

describe("torch files", () => {
  const w = ["w", [2, 3], [1, 2, 3, 4, 5, 6]];

  test.each([
    ["an archive", archive(state)],
    ["a training checkpoint", archive(dictionary(text("epoch"), int(3), text("state_dict"), state))],
    [
      "an ordered dictionary with attributes",
      archive(bytes(call(global("collections", "OrderedDict")), "(", text("w"), matrix, "u", state, "b")),
    ],
    [
      "a parameter",
      archive(
        dictionary(text("w"), call(global("torch._utils", "_rebuild_parameter"), matrix, bytes(0x88), bytes("}"))),
      ),
    ],
    ["the format before torch 1.6", legacy(state)],
    ["protocol 4", archive(bytes(0x80, 4, 0x95, new Uint8Array(8), "}(", 0x8c, 1, "w", 0x94, matrix, "u"))],
  ])("%s gives its tensors", async (_, file) => {
    expect((await read(file)).tensors).toEqual([w]);
  });

  test("views are read as what they show", async () => {
    const views = dictionary(
      ...[text("transposed"), tensor({ shape: [3, 2], strides: [1, 3] })],
      ...[text("row"), tensor({ shape: [3], strides: [1], offset: 3 })],
    );
    expect((await read(archive(views, floats(1, 2, 3, 4, 5, 6), { "m/pad": new Uint8Array(40) }))).tensors).toEqual([
      ["transposed", [3, 2], [1, 4, 2, 5, 3, 6]],
      ["row", [3], [4, 5, 6]],
    ]);
  });

  test("TorchScript modules give the path of attributes as names, and OpenAI's are known by their buffers", async () => {
    const object = (attributes: Uint8Array) =>
      bytes(global("__torch__.clip.model", "CLIP"), ")", 0x81, attributes, "b");
    const size = tensor({ shape: [], strides: [], kind: "LongStorage", count: 1 });
    const visual = object(dictionary(text("proj"), matrix, text("training"), bytes(0x89)));
    const root = object(
      dictionary(text("input_resolution"), size, text("context_length"), size, text("visual"), visual),
    );
    const file = archive(root, floats(0, 0, 1, 2, 3, 4), { "m/constants.pkl": pickle(bytes(")")) });
    const { tensors, isOpenAI } = await read(file);
    expect(tensors.map(([name]) => name)).toEqual(["input_resolution", "context_length", "visual.proj"]);
    expect(isOpenAI).toBe(true);
    expect(await problemOf(archive(root))).toContain('"__torch__.clip.model.CLIP"'); // no TorchScript without constants.pkl
  });
});

describe("hostile and broken torch files are refused", () => {
  const cyclic = bytes(global("__torch__", "M"), ")", 0x81, "q", 0, "}(", text("a"), "h", 0, "ub");
  const doubling = Array.from({ length: 60 }, (_, i) =>
    bytes(global("__torch__", "M"), ")", 0x81, "}(", text("a"), "h", i, text("b"), "h", i, "ub", "q", i + 1),
  );
  const script = { "m/constants.pkl": pickle(bytes(")")) };
  test.each([
    [
      "a call to the system",
      archive(call(global("os", "system"), text("true"))),
      'ForeignConstructor: m.pt wants to have "os.system"',
    ],
    ["the same by STACK_GLOBAL", archive(bytes(text("posix"), text("system"), 0x93)), '"posix.system"'],
    ["builtins", archive(call(global("builtins", "eval"), text("1"))), '"builtins.eval"'],
    ["a name of every object", archive(call(global("constructor", "constructor"))), '"constructor.constructor"'],
    ["a whole module", archive(call(global("open_clip.model", "CLIP"))), '"open_clip.model.CLIP"'],
    ["text opcodes", archive(bytes("I1\n")), "uses opcode 0x49"],
    ["a call of a number", archive(bytes(int(1), ")R")), "calls what cannot be called"],
    [
      "a call with a million arguments",
      archive(call(global("torch", "Size"), new Uint8Array(1e6).fill(0x4e))),
      "calls what cannot be called",
    ],
    ["a module that contains itself", archive(cyclic, floats(1), script), "without end"],
    [
      "a module doubled sixty times",
      archive(bytes(global("__torch__", "M"), ")", 0x81, "q", 0, ...doubling), floats(1), script),
      "without end",
    ],
    [
      "a tensor beyond its storage",
      archive(dictionary(text("w"), tensor({ shape: [7], strides: [1] }))),
      "shape [7] over a storage of 6",
    ],
    [
      "a tensor that starts before it",
      archive(dictionary(text("w"), tensor({ shape: [2], strides: [1], offset: -4 }))),
      "makes no sense",
    ],
    [
      "one element shown a billion times",
      archive(dictionary(text("w"), tensor({ shape: [1 << 30], strides: [0] }))),
      "over a storage of 6",
    ],
    [
      "a storage beyond its record",
      archive(dictionary(text("w"), tensor({ shape: [9], strides: [1], count: 9 }))),
      "has 24 bytes for a storage of 9 F32",
    ],
    [
      "a storage that is not there",
      archive(dictionary(text("w"), tensor({ key: "../x", shape: [1], strides: [1] }))),
      "has 0 bytes",
    ],
    [
      "one storage under many names",
      archive(
        dictionary(
          ...Array.from({ length: 90 }, (_, i) => bytes(text(`w${i}`), "h", 0)).map((part, i) =>
            i ? part : bytes(text("w"), matrix, "q", 0),
          ),
        ),
      ),
      "describes tensors of 2160 bytes in all",
    ],
    ["compressed records", zip({ "m/data.pkl": pickle(state) }, { method: 8 }), "stores m/data.pkl compressed"],
    [
      "a record beyond the file",
      zip({ "m/data.pkl": pickle(state) }, { size: 1 << 20 }),
      "ends before m/data.pkl does",
    ],
    ["a gigantic pickle", zip({ "m/data.pkl": pickle(state) }, { size: 1 << 30 }), "claims 1073741824 bytes"],
    ["an archive without torch's pickle", zip({ "word/document.xml": floats(1) }), "without torch's data.pkl"],
    ["an archive cut short", archive(state).slice(0, 300), "no table of contents"],
    ["numbers only", archive(int(3)), "holds no table of tensors"],
    ["big-endian numbers", archive(state, floats(1, 2, 3, 4, 5, 6), { "m/byteorder": bytes("big") }), "big-endian"],
    ["old storages cut short", legacy(state).slice(0, -1), "ends before its storages do"],
  ])("%s", async (_, file, reason) => {
    expect(await problemOf(file)).toContain(reason);
  });

  const survives = async (file: Uint8Array) => {
    await read(file).catch((error) => expect(error).toBeInstanceOf(DiptychError));
  };

  test("cut at any byte, a file is refused by a DiptychError", async () => {
    for (const file of [archive(state), legacy(state)]) {
      for (let length = 0; length < file.length; length++) {
        await expect(read(file.slice(0, length))).rejects.toThrow(DiptychError);
      }
    }
  });

  test("changed in any few bytes, a file is read or refused by a DiptychError", async () => {
    const seeds = [archive(state), legacy(state), archive(cyclic, floats(1), script)];
    const changed = fc
      .constantFrom(...seeds)
      .chain((file) =>
        fc
          .array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
          .map((edits) => edits.reduce((copy, [at, value]) => copy.fill(value, at, at + 1), file.slice())),
      );
    await fc.assert(fc.asyncProperty(changed, survives), { numRuns: 1000 });
  });

  test("random pickles and random bytes are refused by a DiptychError", async () => {
    const opcode = fc.constantFrom(..."(0128NJKMXtaeu]})qhcRbQ.\x80\x81\x85\x86\x87\x88\x89\x8a\x8c\x93\x94");
    const program = fc.array(fc.oneof(opcode, fc.nat(9)), { maxLength: 60 }).map((parts) => {
      return bytes(...parts.map((part) => (typeof part === "string" ? part.charCodeAt(0) : part)));
    });
    await fc.assert(
      fc.asyncProperty(program, (root) => survives(archive(root))),
      { numRuns: 700 },
    );
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), survives), { numRuns: 300 });
  });
});

describe.skipIf(!hasShared)("the references' torch files", () => {
  const models = shared("goldens/models");

  test.each([
    ["vit/vit.openai.pt", "vit/vit.openclip.safetensors"],
    ["vit-gelu/vit-gelu.openclip.checkpoint.pt", "vit-gelu/vit-gelu.openclip.safetensors"],
    ["vit-gelu/vit-gelu.openclip.plain-fp16.pt", "vit-gelu/vit-gelu.openclip.safetensors"],
    ["vit-gelu/vit-gelu.openclip.legacy-bf16.pt", "vit-gelu/vit-gelu.openclip.safetensors"],
  ])("%s holds the numbers of %s", async (name, reference) => {
    const { config, parameters } = await loadCheckpoint(`${models}/${name}`);
    const expected = await loadCheckpoint(`${models}/${reference}`);
    expect(config).toEqual(expected.config);
    expect([...parameters.keys()]).toEqual([...expected.parameters.keys()]);
    for (const [key, { data }] of parameters) {
      expect(Buffer.from(data.buffer).equals(Buffer.from(expected.parameters.get(key)!.data.buffer)), key).toBe(true);
    }
  });

  test("OpenAI's ResNet archive holds the numbers of its safetensors", async () => {
    const source = memorySource("resnet.openai.pt", readFileSync(`${models}/resnet/resnet.openai.pt`));
    const { tensors, isOpenAI } = await parseTorch(source);
    const read = new Map((await Promise.all(tensors.map(readTensor))).map((tensor) => [tensor.name, tensor]));
    expect(isOpenAI).toBe(true);
    for (const { name, shape, data } of (await readSafetensors(`${models}/resnet/resnet.openclip.safetensors`))
      .tensors) {
      if (name.endsWith("num_batches_tracked")) continue;
      expect(read.get(name)?.shape, name).toEqual(shape);
      expect(Buffer.from(read.get(name)!.data.buffer).equals(Buffer.from(data.buffer)), name).toBe(true);
    }
  });
});
