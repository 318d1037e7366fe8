/** @file The names under which CLIPs are published: hub repositories, open_clip's tags, OpenAI's own names. */
import { DiptychError, nearestName } from "../../errors.js";
import { openClipTags } from "./openClipTags.js";

export interface OpenAIArchive {
  readonly kind: "openai";
  readonly url: string;
  readonly sha256: string;
}

export interface HubRepository {
  readonly kind: "repository";
  /** `organisation/name`. */
  readonly repository: string;
  /** A branch, a tag, `refs/pr/N` or a commit. */
  readonly revision: string;
  /** Named in open_clip's way, whose numbers are then expected: where a repository holds both libraries' files, open_clip's. */
  readonly prefersOpenClip: boolean;
}

/** OpenAI's names → SHA-256 of the archive, which is also a part of its address (`clip/clip.py`, `_MODELS`). */
const openaiArchives: Readonly<Record<string, string>> = {
  RN50: "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762",
  RN101: "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599",
  RN50x4: "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd",
  RN50x16: "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa",
  RN50x64: "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c",
  "ViT-B/32": "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
  "ViT-B/16": "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
  "ViT-L/14": "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
  "ViT-L/14@336px": "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02",
};

const knownNames = [...Object.keys(openaiArchives), ...Object.keys(openClipTags)];
/** What stands before the `/` of a name that is OpenAI's or open_clip's, and of no repository. */
const models = new Set(knownNames.map((name) => name.split("/")[0]!));

const repositoryPattern =
  /^(?<prefix>hf-hub:)?(?<repository>[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@(?<revision>[^@]+))?$/;
const revisionPattern = /^[\w.-]+(?:\/[\w.-]+)*$/;

/** What a name means, or null when it can only be a path. @throws DiptychError `UnknownTag`, `BadRevision`. */
export function publishedModel(name: string, givenRevision = "main"): OpenAIArchive | HubRepository | null {
  const sha256 = Object.hasOwn(openaiArchives, name) && openaiArchives[name];
  if (sha256) {
    const file = `${name.replace(/[/@]/g, "-")}.pt`;
    return { kind: "openai", url: `https://openaipublic.azureedge.net/clip/models/${sha256}/${file}`, sha256 };
  }
  const [model = "", tag] = name.split("/");
  const plain = model.replace(/-quickgelu$/, "");
  if (tag !== undefined && models.has(plain)) {
    const repository = openClipTags[`${plain}/${tag}`];
    if (repository) return hubRepository(repository, givenRevision, true);
    throw new DiptychError(
      "UnknownTag",
      `${tag} is no published ${plain} that Diptych knows.`,
      `The nearest known name is ${nearestName(name, knownNames)}; other models can be named by their repository.`,
    );
  }
  const parts = repositoryPattern.exec(name)?.groups;
  // The hub allows neither ".." nor "--" in a name, and a name that ends like a file means one.
  if (!parts || /\.\.|--|\.(safetensors|json|pth?|bin)$/.test(parts.repository!)) return null;
  return hubRepository(parts.repository!, parts.revision ?? givenRevision, parts.prefix !== undefined);
}

function hubRepository(repository: string, revision: string, prefersOpenClip: boolean): HubRepository {
  // It becomes a path in the cache.
  if (revisionPattern.test(revision) && !revision.includes("..")) {
    return { kind: "repository", repository, revision, prefersOpenClip };
  }
  throw new DiptychError("BadRevision", `${revision} is no revision.`, "Give a branch, a tag or a commit.");
}
