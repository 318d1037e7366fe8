/** @file Pictures for the demo: the artwork of OpenMoji where it is installed, or any folder. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import sharp from "sharp";
import { z } from "zod";
import { DiptychError } from "../errors.js";
import { findPictures } from "./pictures.js";

export interface Gallery {
  readonly title: string;
  readonly pictures: readonly GalleryPicture[];
  /** What a picture may be called: classes to choose from. */
  readonly names: readonly string[];
  readonly queries: readonly string[];
}

export interface GalleryPicture {
  /** Shown for it. */
  readonly label: string;
  readonly image: string | Uint8Array;
  /** Its right name, where one is known. */
  readonly name?: string;
}

const emojiSchema = z.array(
  z.object({
    emoji: z.string(),
    hexcode: z.string(),
    group: z.string(),
    annotation: z.string(),
    skintone: z.unknown(),
  }),
);

/** Groups of things that can be seen, not symbols or moods. */
const groups: ReadonlySet<string> = new Set(["animals-nature", "food-drink"]);

/** OpenMoji's animals, plants, food and drink: drawn by an artist whose work is in no training set of ours. */
export async function openmoji(): Promise<Gallery> {
  const root = path.dirname(openmojiManifest());
  const all = emojiSchema.parse(JSON.parse(await readFile(path.join(root, "data/openmoji.json"), "utf8")));
  const chosen = all.filter(({ group, skintone }) => groups.has(group) && skintone === "");
  const pictures = await Promise.all(
    chosen.map(async ({ emoji, hexcode, annotation }) => ({
      label: `${emoji} ${annotation}`,
      name: annotation,
      image: await drawn(path.join(root, "color/svg", `${hexcode}.svg`)),
    })),
  );
  return {
    title: `${pictures.length} drawings by OpenMoji, an artist whose work the model never saw`,
    pictures,
    names: [...new Set(chosen.map(({ annotation }) => annotation))],
    queries: ["a bird", "a fish", "a red fruit", "a flower", "a hot drink", "an insect"],
  };
}

/** An SVG on white, as PNG bytes. */
const drawn = (file: string): Promise<Uint8Array> =>
  sharp(file).resize(128, 128).flatten({ background: "#fff" }).png().toBuffer();

function openmojiManifest(): string {
  try {
    return createRequire(import.meta.url).resolve("openmoji/package.json");
  } catch (cause) {
    throw new DiptychError(
      "NoPictures",
      "The demo's pictures (the package openmoji) are not installed.",
      "Name a folder of your own: diptych demo photos/",
      { cause },
    );
  }
}

const commonThings =
  "a person,a group of people,a face,a cat,a dog,a bird,a fish,a horse,an insect,a flower,a tree,a forest,a mountain,a beach,the sea,a lake,the sky,snow,a city street,a building,a house,a room,a kitchen,food,fruit,a cake,a drink,a car,a bus,a bicycle,a train,an airplane,a ship,a computer,a telephone,a book,text,a diagram,a map,a drawing,clothes,shoes,a chair,a clock,a musical instrument,a ball";

/** The first pictures of a folder, and names that fit many folders. */
export async function folderGallery(folder: string, limit = 300): Promise<Gallery> {
  const files = (await findPictures([folder])).slice(0, limit);
  return {
    title: `${files.length} pictures of ${folder}`,
    pictures: files.map((file) => ({ label: path.basename(file), image: file })),
    names: commonThings.split(","),
    queries: ["a person", "an animal", "food", "a car", "something red"],
  };
}
