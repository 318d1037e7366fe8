import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { expandBraces } from "../../src/data/braces.js";
import { captions, openSource, type Source } from "../../src/data/index.js";
import { DiptychError } from "../../src/errors.js";
import { type TarEntry, tarOf } from "./tarOf.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-data-"));
});
afterAll(() => rm(folder, { recursive: true }));

const file = async (name: string, content: string | Uint8Array): Promise<string> => {
  const place = path.join(folder, name);
  await mkdir(path.dirname(place), { recursive: true });
  await writeFile(place, content);
  return place;
};
const shard = (name: string, entries: readonly TarEntry[]): Promise<string> => file(name, tarOf(entries));

/** Opens, reads everything and closes. An unusable sample shows as its error's code. */
async function contents(spec: unknown): Promise<{ samples: unknown[]; problems: readonly string[]; source: Source }> {
  const source = await openSource(spec, folder);
  const samples: unknown[] = [];
  for (let index = 0; index < source.length; index++) {
    try {
      const { key, image, captions, label } = await source.read(index);
      expect(await source.captions(index)).toEqual(captions);
      samples.push([key, Buffer.from(image).toString(), [...captions], ...(label === undefined ? [] : [label])]);
    } catch (error) {
      if (!(error instanceof DiptychError)) throw error;
      samples.push(error.code);
    }
  }
  await source.close();
  return { samples, problems: source.problems, source };
}

async function refusal(spec: unknown): Promise<string> {
  const error = await openSource(spec, folder).then(
    () => null,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(DiptychError);
  return (error as DiptychError).message.replaceAll(folder, "…");
}

describe("shards", () => {
  test("files of one sample are found by their name up to the first dot, folder included", async () => {
    await shard("a-00.tar", [
      { name: "x/1.jpg", content: "P1" },
      { name: "x/1.txt", content: "one" },
      { name: "y/1.png", content: "P2" },
      { name: "y/1.json", content: '{"captions": ["two", " ", "zwei"]}' },
    ]);
    await shard("a-01.tar", [
      { name: "3.txt", content: "text wins" },
      { name: "3.seg.png", content: "another kind of picture" },
      { name: "3.JPEG", content: "P3" },
      { name: "3.json", content: '{"caption": "about the download"}' },
    ]);
    const { samples, problems } = await contents({ shards: "a-{00..01}.tar" });
    expect(samples).toEqual([
      ["x/1 in a-00.tar", "P1", ["one"]],
      ["y/1 in a-00.tar", "P2", ["two", "zwei"]],
      ["3 in a-01.tar", "P3", ["text wins"]],
    ]);
    expect(problems).toEqual([]);
  });

  test("the caption's key in JSON can be named", async () => {
    await shard("json.tar", [
      { name: "1.jpg", content: "P" },
      { name: "1.json", content: '{"sentence": "there is a box"}' },
    ]);
    expect((await contents({ shards: "json.tar", caption: "sentence" })).samples).toEqual([
      ["1 in json.tar", "P", ["there is a box"]],
    ]);
  });

  test("samples that lack something are passed over and told; broken captions are told when read", async () => {
    await shard("bad.tar", [
      { name: "1.jpg", content: "P1" },
      { name: "2.txt", content: "no picture" },
      { name: "3.jpg", content: "P3" },
      { name: "3.txt", content: " \n" },
      { name: "4.jpg", content: "P4" },
      { name: "4.json", content: "{" },
      { name: "5.jpg", content: "P5" },
      { name: "5.txt", content: new Uint8Array([0xff, 0xfe]) },
      { name: "6.jpg", content: "P6" },
      { name: "6.txt", content: "good" },
    ]);
    const { samples, problems } = await contents({ shards: ["bad.tar"] });
    expect(samples).toEqual([
      "UnreadableCaption",
      "UnreadableCaption",
      "UnreadableCaption",
      ["6 in bad.tar", "P6", ["good"]],
    ]);
    expect(problems).toEqual([
      "1 of 6 samples have no picture (the first is 2 in bad.tar).",
      "1 of 6 samples have no captions (the first is 1 in bad.tar).",
    ]);
  });

  test("a shard that is cut short gives the samples before the cut", async () => {
    const entries = [1, 2, 3].flatMap((i) => [
      { name: `${i}.jpg`, content: `P${i}` },
      { name: `${i}.txt`, content: `caption ${i}` },
    ]);
    const place = await shard("cut.tar", entries);
    await truncate(place, 5 * 1024 + 512 + 3); // inside the third caption
    const { samples, problems } = await contents({ shards: "cut.tar" });
    expect(samples).toEqual([
      ["1 in cut.tar", "P1", ["caption 1"]],
      ["2 in cut.tar", "P2", ["caption 2"]],
    ]);
    expect(problems).toEqual([
      "cut.tar is cut short at byte 5635.",
      "1 of 3 samples have no captions (the first is 3 in cut.tar).",
    ]);
  });

  test("classes come from the folder or from .cls, names and templates make the captions", async () => {
    await shard("classes.tar", [
      { name: "train/n1/1.jpg", content: "P1" },
      { name: "train/n2/1.jpg", content: "P2" },
      { name: "3.jpg", content: "P3" },
      { name: "3.cls", content: "1\n" },
    ]);
    await file("names.json", '{"n1": "Egyptian cat", "n2": "cliff, drop", "n3": ["never seen"]}');
    const { samples, source } = await contents({
      shards: "classes.tar",
      classes: "names.json",
      templates: ["a photo of a {}", "{}"],
    });
    const cliff = ["a photo of a cliff", "a photo of a drop", "cliff", "drop"];
    expect(samples).toEqual([
      ["train/n1/1 in classes.tar", "P1", ["a photo of a Egyptian cat", "Egyptian cat"], 0],
      ["train/n2/1 in classes.tar", "P2", cliff, 1],
      ["3 in classes.tar", "P3", cliff, 1],
    ]);
    expect(source.classes.map(({ names }) => names)).toEqual([["Egyptian cat"], ["cliff", "drop"], ["never seen"]]);
  });

  test("captions may stand in a table beside the shards", async () => {
    await shard("keys.tar", [
      { name: "k1.jpg", content: "P1" },
      { name: "k2.jpg", content: "P2" },
    ]);
    await file("words.jsonl", '{"key": "k1", "word": "PRIVATE"}\n{"key": "k9", "word": "x"}\n');
    const { samples, problems } = await contents({
      shards: "keys.tar",
      captions: { table: "words.jsonl", caption: "word" },
    });
    expect(samples).toEqual([["k1 in keys.tar", "P1", ["PRIVATE"]]]);
    expect(problems).toEqual(["1 of 2 samples have no captions in the table (the first is k2 in keys.tar)."]);
  });

  test("what is wrong is said, with what to do", async () => {
    await shard("flat.tar", [{ name: "1.jpg", content: "P" }]);
    await shard("unknown.tar", [{ name: "n02/1.jpg", content: "P" }]);
    await file("empty.tar", "");
    const spec = { classes: { n01: "cat" } };
    expect(await refusal({ shards: "flat.tar", ...spec })).toMatchInlineSnapshot(
      `"UnknownClass: 1 in flat.tar lies in no folder and so has no class. Put each class in its own folder."`,
    );
    expect(await refusal({ shards: "unknown.tar", ...spec })).toMatchInlineSnapshot(
      `"UnknownClass: n02/1 in unknown.tar is of class "n02", which has no name. Add it to the classes (the nearest there is "n01")."`,
    );
    expect(await refusal({ shards: "flat.tar" })).toMatchInlineSnapshot(
      `"EmptySource: flat.tar holds no pair to learn from. 1 of 1 samples have no captions (the first is 1 in flat.tar). Give pictures together with captions or classes."`,
    );
    expect(await refusal({ shards: "empty.tar" })).toMatchInlineSnapshot(
      `"EmptySource: empty.tar holds no pair to learn from. empty.tar has no end mark and may be cut short at byte 0. Give pictures together with captions or classes."`,
    );
    expect(await refusal({ shards: "absent.tar" })).toMatchInlineSnapshot(
      `"MissingFile: The shard …/absent.tar cannot be read. Check its path."`,
    );
    expect(await refusal({ shards: "flat.tar", classes: "absent.json" })).toMatchInlineSnapshot(
      `"MissingClasses: The names of classes in …/absent.json cannot be read. Give a JSON file such as { "n02124075": "Egyptian cat" } or ["cat", "dog"]."`,
    );
  });
});

describe("tables", () => {
  test("a CSV's rows of one picture are one sample with several captions", async () => {
    await file("pictures/a.jpg", "PA");
    await file("pictures/b.jpg", "PB");
    await file(
      "pictures/t.csv",
      'image,caption\na.jpg,first\nb.jpg,"with, comma\nand line"\na.jpg,second\nc.jpg,gone\nb.jpg,\n',
    );
    const { samples, problems } = await contents({ table: "pictures/t.csv" });
    expect(samples).toEqual([
      ["a.jpg", "PA", ["first", "second"]],
      ["b.jpg", "PB", ["with, comma\nand line"]],
      "MissingPicture",
    ]);
    expect(problems).toEqual(["pictures/t.csv: 1 rows lack a picture or caption (the first in line 7)."]);
  });

  test("paths may start from another folder, and columns may be named", async () => {
    await file("elsewhere/a.jpg", "PA");
    await file("t.tsv", "id\tsmall\tlarge\twords\n7\tx.jpg\ta.jpg\ta cat\n");
    const spec = { table: "t.tsv", root: "elsewhere", picture: "large", caption: "words" };
    expect((await contents(spec)).samples).toEqual([["a.jpg", "PA", ["a cat"]]]);
  });

  test("two columns that may hold the caption are not guessed between", async () => {
    await file("two.csv", "image,title,caption\na.jpg,x,y\n");
    expect(await refusal({ table: "two.csv" })).toMatchInlineSnapshot(
      `"UnknownColumn: two.csv has several columns that may hold the caption; its columns are "image", "title", "caption". Say which one with "caption"."`,
    );
    expect(await refusal({ table: "two.csv", caption: "titel" })).toMatchInlineSnapshot(
      `"UnknownColumn: two.csv has no column "titel"; its columns are "image", "title", "caption". Say which one with "caption"."`,
    );
    await file("void.csv", "");
    expect(await refusal({ table: "void.csv" })).toMatchInlineSnapshot(
      `"EmptyTable: void.csv is empty. Give a table with a header row and a row for each picture."`,
    );
    await file("header.csv", "image,caption\n");
    expect(await refusal({ table: "header.csv" })).toMatchInlineSnapshot(
      `"EmptySource: header.csv holds no pair to learn from. Give pictures together with captions or classes."`,
    );
  });
});

describe("class folders", () => {
  test("each folder is a class and is called like its folder, pictures may lie deeper", async () => {
    await file("kinds/tabby_cat/2.jpg", "C2");
    await file("kinds/tabby_cat/images/1.PNG", "C1");
    await file("kinds/tabby_cat/notes.txt", "no picture");
    await file("kinds/dog/1.webp", "D1");
    await mkdir(path.join(folder, "kinds/void"), { recursive: true });
    const { samples, problems, source } = await contents({ folder: "kinds" });
    expect(samples).toEqual([
      [path.join("dog", "1.webp"), "D1", ["a photo of a dog"], 0],
      [path.join("tabby_cat", "2.jpg"), "C2", ["a photo of a tabby cat"], 1],
      [path.join("tabby_cat", "images", "1.PNG"), "C1", ["a photo of a tabby cat"], 1],
    ]);
    expect(problems).toHaveLength(1);
    expect(source.classes.map(({ key }) => key)).toEqual(["dog", "tabby_cat", "void"]);
  });

  test("a folder without a class's name, and a folder without folders, are refused", async () => {
    await file("lone/1.jpg", "P");
    expect(await refusal({ folder: "lone" })).toMatchInlineSnapshot(
      `"MissingClasses: …/lone has no folders inside, so its pictures have no classes. Put each class into its own folder, or give captions in a table."`,
    );
    await file("wnids/n01/1.jpg", "P");
    expect(await refusal({ folder: "wnids", classes: { n02: "dog" } })).toMatchInlineSnapshot(
      `"UnknownClass: The folder …/wnids/n01 is of class "n01", which has no name. Add it to the classes (the nearest there is "n02")."`,
    );
    expect(await refusal({ folder: "absent" })).toMatchInlineSnapshot(
      `"MissingFile: The folder …/absent cannot be read. Check its path."`,
    );
  });
});

describe("several sources", () => {
  const shardOf = (keys: readonly string[]) =>
    shard(
      `${keys.length}.tar`,
      keys.flatMap((key) => [
        { name: `${key}.jpg`, content: key },
        { name: `${key}.txt`, content: key },
      ]),
    );

  test("are joined, each taken as often as it says", async () => {
    await shardOf(["z"]);
    await shardOf(["a", "b"]);
    const { samples } = await contents([{ shards: "1.tar" }, { shards: "2.tar", weight: 2 }]);
    expect(samples.map((sample) => (sample as string[])[1]).sort()).toEqual(["a", "a", "b", "b", "z"]);
  });

  test("of any weight give every sample once before one comes again, over the epochs", async () => {
    await shardOf(["z"]);
    const keys = [..."abcdefghijk"];
    await shardOf(keys);
    for (const weight of [0.3, 1, 2.45]) {
      const source = await openSource([{ shards: "1.tar" }, { shards: "11.tar", weight }], folder);
      expect(source.length).toBe(1 + Math.round(11 * weight));
      const drawn: string[] = [];
      for (let epoch = 0; epoch < 12; epoch++) {
        for (let index = 1; index < source.length; index++) drawn.push(...(await source.captions(index, epoch)));
        expect(await source.captions(0, epoch)).toEqual(["z"]);
      }
      await source.close();
      for (let pass = 0; (pass + 1) * 11 <= drawn.length; pass++) {
        expect(drawn.slice(pass * 11, (pass + 1) * 11).sort()).toEqual(keys);
      }
    }
  });

  test("all captions can be listed without pictures; a class's come once", async () => {
    await shard("text.tar", [
      { name: "1.jpg", content: "P1" },
      { name: "1.txt", content: "a text" },
      { name: "2.jpg", content: "P2" },
      { name: "2.txt", content: "" },
    ]);
    await file("cats/cat/1.jpg", "C");
    await file("cats/cat/2.jpg", "C");
    const source = await openSource([{ shards: "text.tar" }, { folder: "cats" }], folder);
    const all: string[] = [];
    for await (const caption of captions(source)) all.push(caption);
    await source.close();
    expect(all).toEqual(["a text", "a photo of a cat"]);
  });
});

test("a recipe's mistakes are named", async () => {
  expect(await refusal({ shard: "a.tar" })).toMatchInlineSnapshot(
    `"InvalidSource: A source says not where its pairs lie. Give { "shards": … }, { "table": … } or { "folder": … }."`,
  );
  expect(await refusal({ shards: "a.tar", folder: "b" })).toMatchInlineSnapshot(
    `"InvalidSource: A source is both shards and folder. Give { "shards": … }, { "table": … } or { "folder": … }."`,
  );
  expect(await refusal({ shards: "a.tar", clases: "b" })).toMatchInlineSnapshot(
    `"UnknownOption: A source of shards has no option "clases". Did you mean "classes"? Known are shards, cache, caption, captions, classes, templates, weight."`,
  );
  expect(await refusal({ shards: "a.tar", captions: { table: "b", seperator: "," } })).toMatchInlineSnapshot(
    `"UnknownOption: A source of shards has no option "seperator". Did you mean "separator"? Known are table, picture, caption, separator."`,
  );
  expect(await refusal({ folder: "a", templates: ["a photo"] })).toMatchInlineSnapshot(
    `"InvalidSource: In a source of folder, "templates.0" is wrong: a template needs "{}" where the name goes. Correct it."`,
  );
  expect(await refusal({ folder: "a", weight: 0 })).toMatchInlineSnapshot(
    `"InvalidSource: In a source of folder, "weight" is wrong: Too small: expected number to be >0. Correct it."`,
  );
  expect(await refusal([])).toMatchInlineSnapshot(
    `"InvalidSource: The list of sources is empty. Give { "shards": … }, { "table": … } or { "folder": … }."`,
  );
});

test("names of shards expand as in a shell", () => {
  expect(expandBraces("a-{08..11}.tar")).toEqual(["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]);
  expect(expandBraces("{x,y}/{1..2}.tar")).toEqual(["x/1.tar", "x/2.tar", "y/1.tar", "y/2.tar"]);
  expect(expandBraces("plain{}.tar")).toEqual(["plain{}.tar"]);
  expect(() => expandBraces("{0..99999999}")).toThrow(DiptychError);
});
