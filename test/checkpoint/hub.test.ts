import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { publishedModel } from "../../src/checkpoint/hub/names.js";
import { fetchArchive } from "../../src/checkpoint/hub/openai.js";
import { openClipTags } from "../../src/checkpoint/hub/openClipTags.js";
import { loadCheckpoint, resolveModel, saveCheckpoint } from "../../src/checkpoint/node.js";
import { tinyCheckpoint } from "../tasks/tiny.js";
import { type Asked, blobName, type Hub, sha256, startHub } from "./hubServer.js";

const repository = "someone/tiny-clip";
const model = tinyCheckpoint();
const weightsName = "model.safetensors";

let saved = "";
let folder = "";
let cache = "";
let hub: Hub;
let files: ReadonlyMap<string, Buffer>;

beforeAll(async () => {
  saved = await mkdtemp(path.join(tmpdir(), "diptych-hub-"));
  await saveCheckpoint(saved, model, { format: "huggingFace" });
  const names = await readdir(saved);
  const entries = names.map(async (name) => [name, await readFile(path.join(saved, name))] as const);
  files = new Map([...(await Promise.all(entries)), ["pytorch_model.bin", Buffer.from("an older format")]]);
});
afterAll(() => rm(saved, { recursive: true }));

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "diptych-hub-"));
  cache = path.join(folder, "cache");
  hub = await startHub(repository, files);
  for (const [name, value] of Object.entries({
    HF_TOKEN: "",
    HF_HUB_OFFLINE: "",
    HF_HOME: folder,
    HF_TOKEN_PATH: "",
  })) {
    vi.stubEnv(name, value);
  }
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  await rm(folder, { recursive: true });
});

const options = () => ({ cache, endpoint: hub.endpoint });
const root = () => path.join(cache, "models--someone--tiny-clip");
const weights = () => files.get(weightsName)!;
const blobs = () => readdir(path.join(root(), "blobs"));
const parts = async () => (await blobs()).filter((name) => name.endsWith(".incomplete"));
/** Requests for files, as against those for what files there are. */
const downloads = (asked: readonly Asked[] = hub.asked) =>
  asked.filter(({ server, path }) => server === "storage" || path.includes("/resolve/"));
const isWeights = ({ server }: Asked) => server === "storage";

describe("a model of the hub", () => {
  test("is downloaded into the layout that Python reads, and loads with equal numbers", async () => {
    const loaded = await loadCheckpoint(repository, options());
    expect([...loaded.parameters]).toEqual([...model.parameters]);
    expect(loaded.config).toEqual(model.config);
    expect(loaded.tokenizer!.encode("two dogs")).toEqual(model.tokenizer!.encode("two dogs"));

    const snapshot = path.join(root(), "snapshots", hub.commit);
    expect(await readFile(path.join(root(), "refs", "main"), "utf8")).toBe(hub.commit);
    const linked = await readdir(snapshot);
    expect(linked.sort()).toEqual([...files.keys()].filter((name) => !/README|\.bin$/.test(name)).sort());
    for (const name of linked) {
      const content = files.get(name)!;
      expect(await readlink(path.join(snapshot, name))).toBe(path.join("../../blobs", blobName(name, content)));
      expect(await readFile(path.join(snapshot, name))).toEqual(content);
    }
    expect(await parts()).toEqual([]);
  });

  test("is downloaded once; a new commit brings only what has changed", async () => {
    const first = await resolveModel(repository, options());
    hub.asked.length = 0;
    expect(await resolveModel(`hf-hub:${repository}@main`, options())).toBe(first);
    expect(downloads()).toEqual([]);

    hub.commit = "2".repeat(40);
    hub.files = new Map([...files, ["config.json", Buffer.concat([files.get("config.json")!, Buffer.from("\n")])]]);
    expect(await resolveModel(repository, options())).toBe(first.replace("1".repeat(40), hub.commit));
    expect(downloads().map(({ path }) => path)).toEqual([`/${repository}/resolve/${hub.commit}/config.json`]);
  });

  test("reports the bytes that have come of each file", async () => {
    const last = new Map<string, readonly number[]>();
    await resolveModel(repository, {
      ...options(),
      onProgress: ({ file, done, total }) => last.set(file, [done, total]),
    });
    expect(last.get(`${repository}/${weightsName}`)).toEqual([weights().length, weights().length]);
    expect(last.size).toBe((await blobs()).length);
  });

  test("in shards comes with all of them", async () => {
    const index = { weight_map: { a: "model-1.safetensors", b: "model-2.safetensors" } };
    const shards = ["model-1.safetensors", "model-2.safetensors"].map((name) => [name, Buffer.from(name)] as const);
    hub.files = new Map([...shards, ["model.safetensors.index.json", Buffer.from(JSON.stringify(index))]]);
    const place = await resolveModel(repository, options());
    expect((await readdir(path.dirname(place))).sort()).toEqual([...hub.files.keys()].sort());
  });

  test("with files of both libraries is read from open_clip's when it is named in open_clip's way", async () => {
    hub.files = new Map([...files, ["open_clip_model.safetensors", Buffer.from("open_clip")]]);
    expect(path.basename(await resolveModel(`hf-hub:${repository}`, options()))).toBe("open_clip_model.safetensors");
    expect(path.basename(await resolveModel(repository, options()))).toBe(weightsName);
  });

  test("two loads at once leave one good copy", async () => {
    const places = await Promise.all([resolveModel(repository, options()), resolveModel(repository, options())]);
    expect(new Set(places).size).toBe(1);
    expect(await readFile(places[0]!)).toEqual(weights());
    expect(await parts()).toEqual([]);
  });

  test("that is a folder here is not asked for there", async () => {
    expect(await resolveModel(saved, options())).toBe(saved);
    expect(hub.asked).toEqual([]);
  });
});

describe("a connection that breaks", () => {
  const half = () => Math.floor(weights().length / 2);
  /** Sends half of the weights and hangs up, `times` times. */
  const breakHalfway = (times: number): void => {
    hub.intercept = (asked, response, content) => {
      if (!isWeights(asked) || times-- <= 0) return false;
      response.writeHead(200, { "Content-Length": content!.length }).write(content!.subarray(0, half()), () => {
        // Only when the piece has surely arrived: what is still in the socket would be lost with it.
        setTimeout(() => response.destroy(), 20);
      });
      return true;
    };
  };

  test("is taken up where it broke", async () => {
    breakHalfway(1);
    expect(await readFile(await resolveModel(repository, options()))).toEqual(weights());
    expect(hub.asked.filter(isWeights).map(({ range }) => range)).toEqual([undefined, `bytes=${half()}-`]);
  });

  test("starts again when the server does not know ranges", async () => {
    breakHalfway(1);
    const broken = hub.intercept;
    hub.intercept = (asked, response, content) => {
      if (broken(asked, response, content)) return true;
      if (!isWeights(asked)) return false;
      response.writeHead(200, { "Content-Length": content!.length }).end(content);
      return true;
    };
    expect(await readFile(await resolveModel(repository, options()))).toEqual(weights());
    expect(hub.asked.filter(isWeights).map(({ range }) => range)).toEqual([undefined, `bytes=${half()}-`]);
  });

  test("is tried five times, and what came is kept for the next run", async () => {
    breakHalfway(1);
    const broken = hub.intercept;
    hub.intercept = (asked, response, content) => {
      if (broken(asked, response, content)) return true;
      if (isWeights(asked)) response.writeHead(503, { "Retry-After": "0" }).end();
      return isWeights(asked);
    };
    await expect(resolveModel(repository, options())).rejects.toMatchObject({ code: "HubUnavailable" });
    expect(hub.asked.filter(isWeights).length).toBe(5);
    expect(await parts()).toHaveLength(1);

    hub.intercept = () => false;
    hub.asked.length = 0;
    expect(await readFile(await resolveModel(repository, options()))).toEqual(weights());
    expect(hub.asked.filter(isWeights).map(({ range }) => range)).toEqual([`bytes=${half()}-`]);
    expect(await parts()).toEqual([]);
  });

  test("is no harm to what another process is writing", async () => {
    const blob = path.join(root(), "blobs", sha256(weights()));
    await mkdir(path.dirname(blob), { recursive: true });
    const ended = Number(execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }));
    const random = "00000000-0000-0000-0000-000000000000";
    const ofAnother = `${blob}.elsewhere-1-${random}.incomplete`;
    await writeFile(ofAnother, weights().subarray(0, 100));
    await writeFile(`${blob}.${hostname()}-${process.pid}-${random}.incomplete`, weights().subarray(0, 200));
    await writeFile(`${blob}.${hostname()}-${ended}-${random}.incomplete`, weights().subarray(0, 300));
    await writeFile(`${blob}.incomplete`, "Python's");
    await resolveModel(repository, options());
    expect(hub.asked.find(isWeights)!.range).toBe("bytes=300-");
    expect(await parts()).toHaveLength(3);

    await rm(blob);
    await rm(path.join(root(), "snapshots"), { recursive: true });
    await utimes(ofAnother, new Date(0), new Date(0));
    hub.asked.length = 0;
    await resolveModel(repository, options());
    expect(hub.asked.find(isWeights)!.range).toBe("bytes=100-");
  });
});

describe("what the server sends is not trusted", () => {
  test("weights of another hash are refused and not kept", async () => {
    hub.intercept = (asked, response, content) => {
      if (!isWeights(asked)) return false;
      const forged = Buffer.from(content!);
      forged[1000]! ^= 1;
      response.writeHead(200, { "Content-Length": forged.length }).end(forged);
      return true;
    };
    await expect(resolveModel(repository, options())).rejects.toMatchObject({ code: "WrongHash" });
    expect((await blobs()).filter((name) => name.startsWith(sha256(weights())))).toEqual([]);
  });

  test("a small file of another hash is refused too", async () => {
    hub.intercept = (asked, response, content) => {
      if (!asked.path.endsWith("/vocab.json")) return false;
      response.end(content!.toString().replace("0", "1"));
      return true;
    };
    await expect(resolveModel(repository, options())).rejects.toMatchObject({ code: "WrongHash" });
  });

  test("more bytes than announced are not taken", async () => {
    hub.intercept = (asked, response) => {
      if (!isWeights(asked)) return false;
      response.writeHead(200);
      const more = (): unknown => response.write(Buffer.alloc(1 << 20), (error) => error || more());
      return more() !== undefined;
    };
    await expect(resolveModel(repository, options())).rejects.toMatchObject({ code: "WrongHash" });
  });

  test("names that lead out of the cache are passed over", async () => {
    hub.files = new Map([...files, ["../config.json", Buffer.from("{}")], ["..", Buffer.from("{}")]]);
    await resolveModel(repository, options());
    expect(await readdir(path.join(root(), "snapshots"))).toEqual([hub.commit]);
  });

  test("an answer that no hub gives is told as such", async () => {
    hub.intercept = (_, response) => {
      response.end("<html>Please log in to the hotel's network</html>");
      return true;
    };
    await expect(resolveModel(repository, options())).rejects.toThrow(/does not answer as a hub does/);
  });
});

describe("without a network", () => {
  test("offline, the cache serves and nobody is asked", async () => {
    const place = await resolveModel(repository, options());
    hub.asked.length = 0;
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    vi.stubEnv("HF_HUB_CACHE", cache);
    expect(await resolveModel(repository)).toBe(place);
    expect(await resolveModel(`${repository}@${hub.commit}`)).toBe(place);
    expect(hub.asked).toEqual([]);
  });

  test("offline, what the cache lacks is named", async () => {
    const missing = resolveModel(repository, { ...options(), offline: true });
    await expect(missing).rejects.toMatchObject({ code: "NotInCache", problem: expect.stringContaining(repository) });
  });

  test("an unreachable or busy hub is told, and the cache serves", async () => {
    const place = await resolveModel(repository, options());
    const notices: string[] = [];
    const onNotice = (notice: string) => notices.push(notice);
    hub.intercept = (_, response) => Boolean(response.writeHead(429, { "Retry-After": "0" }).end());
    expect(await resolveModel(repository, { ...options(), onNotice })).toBe(place);
    await hub.close();
    expect(await resolveModel(repository, { ...options(), onNotice })).toBe(place);
    expect(notices).toEqual([expect.stringMatching(/429.*11111111/), expect.stringMatching(/ECONNREFUSED.*11111111/)]);
    const unknown = resolveModel("someone/else", { ...options(), onNotice });
    await expect(unknown).rejects.toMatchObject({ code: "HubUnavailable" });
    hub = await startHub(repository, files);
  });

  test("a new commit that cannot be downloaded leaves the old one in use", async () => {
    const place = await resolveModel(repository, options());
    hub.commit = "2".repeat(40);
    hub.files = new Map([...files, [weightsName, Buffer.from("new")]]);
    hub.intercept = (asked, response) =>
      isWeights(asked) && Boolean(response.writeHead(500, { "Retry-After": "0" }).end());
    expect(await resolveModel(repository, { ...options(), onNotice: () => {} })).toBe(place);
    expect(await resolveModel(repository, { ...options(), offline: true })).toBe(place);
  });
});

describe("a token", () => {
  test("goes to the hub, and not to where it redirects", async () => {
    await resolveModel(repository, { ...options(), token: "hf_secret" });
    expect(hub.asked.some(isWeights)).toBe(true);
    for (const { server, token } of hub.asked) expect(token).toBe(server === "hub" ? "Bearer hf_secret" : undefined);
  });

  test("is what a login has left, unless another is given", async () => {
    await writeFile(path.join(folder, "token"), "hf_login\n");
    await resolveModel(repository, options());
    expect(hub.asked[0]!.token).toBe("Bearer hf_login");
    vi.stubEnv("HF_TOKEN", "hf_environment");
    hub.asked.length = 0;
    await resolveModel(repository, options());
    expect(hub.asked[0]!.token).toBe("Bearer hf_environment");
  });

  test.each([
    ["asked for where terms must be accepted", 403, "GatedRepo", "AccessDenied", /HF_TOKEN/],
    ["asked for where a stranger is told nothing", 401, "RepoNotFound", "NoSuchModel", /HF_TOKEN/],
  ])("is %s", async (_, status, header, code, remedy) => {
    hub.intercept = (_, response) => Boolean(response.writeHead(status, { "X-Error-Code": header }).end());
    const refused = resolveModel(repository, options());
    await expect(refused).rejects.toMatchObject({ code, remedy: expect.stringMatching(remedy) });
    const again = resolveModel(repository, { ...options(), token: "hf_expired" });
    await expect(again).rejects.toMatchObject({ remedy: expect.stringContaining("token is valid") });
  });
});

describe("a name", () => {
  test.each([
    ["someone/other", "NoSuchModel", "someone/other"],
    [`${repository}@v2`, "NoSuchRevision", "v2"],
    [`${repository}@../../x`, "BadRevision", "../../x"],
    ["ViT-B-32/laion2b_s34b_b80k", "UnknownTag", "laion2b_s34b_b80k"],
  ])("%s is refused as %s", async (name, code, part) => {
    await expect(resolveModel(name, options())).rejects.toMatchObject({ code, problem: expect.stringContaining(part) });
  });

  test("without weights is refused with what is there", async () => {
    hub.files = new Map([["README.md", Buffer.from("soon")]]);
    await expect(resolveModel(repository, options())).rejects.toThrow(/NoWeights.*README\.md/s);
  });

  test("of open_clip and OpenAI leads to its repository or archive", () => {
    expect(publishedModel("ViT-B-32/laion2b_s34b_b79k")).toEqual({
      kind: "repository",
      repository: "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
      revision: "main",
      prefersOpenClip: true,
    });
    expect(publishedModel("ViT-B-32-quickgelu/openai")).toEqual(publishedModel("ViT-B-32/openai"));
    expect(publishedModel("ViT-L/14@336px")).toMatchObject({
      url: expect.stringMatching(/models\/3035c92b[0-9a-f]{56}\/ViT-L-14-336px\.pt$/),
    });
    expect(publishedModel("openai/clip-vit-base-patch32", "abc")).toMatchObject({ revision: "abc" });
    const repositories = Object.keys(openClipTags).map((tag) => publishedModel(tag));
    expect(repositories.every((model) => model?.kind === "repository")).toBe(true);
  });

  test.each([
    "../models",
    "./a/b",
    "/a/b",
    "a/b/c",
    "runs/model.safetensors",
    "RN51",
    "constructor",
    "a--b/c",
    "C:\\models",
  ])("%s can only be a path", (name) => expect(publishedModel(name)).toBeNull());
});

describe("OpenAI's archive", () => {
  test("is downloaded, kept, and fetched again when it is damaged", async () => {
    const content = weights();
    hub.intercept = (asked, response) => {
      if (!asked.path.endsWith("/RN50.pt")) return false;
      response.writeHead(200, { "Content-Length": content.length }).end(asked.method === "HEAD" ? undefined : content);
      return true;
    };
    const archive = { url: `${hub.endpoint}/clip/models/${sha256(content)}/RN50.pt`, sha256: sha256(content) };
    const fetched = (offline = false) => fetchArchive(archive, folder, { offline, onProgress: () => {} });
    const place = await fetched();
    expect(place).toBe(path.join(folder, "RN50.pt"));
    expect(await fetched(true)).toBe(place);
    expect(hub.asked.map(({ method }) => method)).toEqual(["HEAD", "GET"]);

    await writeFile(place, content.subarray(0, 1000));
    await expect(fetched(true)).rejects.toMatchObject({ code: "NotInCache" });
    await fetched();
    expect(await readFile(place)).toEqual(content);
  });
});
