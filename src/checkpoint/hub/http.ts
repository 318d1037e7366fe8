/**
 * @file Requests to a server that may be slow, busy, broken or gone.
 * What another try may cure is an `Unavailable`; what the user must cure is a DiptychError.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { DiptychError } from "../../errors.js";

/** The server does not answer, or not now. */
export class Unavailable extends Error {
  constructor(
    message: string,
    /** What the server asked to wait, in milliseconds. */
    readonly wait?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export interface Connection {
  /** The token goes to this server only, not to where it redirects. */
  readonly endpoint: string;
  readonly token: string | undefined;
}

/** How long a server may say nothing, in milliseconds. */
export const patience = { answer: 10_000, nextBytes: 30_000 } as const;

/** A successful response. `what` is asked for, in words. @throws Unavailable, DiptychError. */
export async function request(
  what: string,
  url: string,
  init: RequestInit,
  { endpoint, token }: Connection,
): Promise<Response> {
  const headers = new Headers(init.headers);
  // fetch itself drops this header when it is redirected to another origin
  if (token && new URL(url).origin === new URL(endpoint).origin) headers.set("Authorization", `Bearer ${token}`);
  const response = await fetch(url, { ...init, headers }).catch((cause: Error) => {
    throw new Unavailable(`${new URL(url).host} cannot be reached (${reason(cause)})`, undefined, { cause });
  });
  if (response.ok) return response;
  await response.body?.cancel();
  throw refusal(what, response, token !== undefined);
}

/** The bytes of a response as they come. @throws Unavailable when the connection breaks. */
export async function* bytesOf(response: Response): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of response.body ?? []) yield bytes as Uint8Array;
  } catch (cause) {
    const { host } = new URL(response.url);
    throw new Unavailable(`The connection to ${host} broke (${reason(cause as Error)})`, undefined, { cause });
  }
}

/**
 * Runs `attempt` again while the server is unavailable, after 0.2, 0.4, 0.8 … seconds or what the server asks for.
 * Gives up after `tries` failures in a row; a failure after which `progress` has grown is not counted.
 */
export async function persist<T>(attempt: () => Promise<T>, tries: number, progress: () => number = () => 0) {
  for (let failures = 0; ; ) {
    const before = progress();
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      failures = progress() > before ? 1 : failures + 1;
      if (failures >= tries) throw error;
      await sleep(error.wait ?? 100 * 2 ** failures);
    }
  }
}

function refusal(what: string, { status, url, headers }: Response, hasToken: boolean): Error {
  const { host } = new URL(url);
  const code = headers.get("X-Error-Code");
  if (status === 408 || status === 429 || status >= 500) {
    const seconds = Number(headers.get("Retry-After") ?? Number.NaN);
    const wait = seconds >= 0 ? Math.min(seconds, 60) * 1000 : undefined;
    return new Unavailable(`${host} is busy or broken (status ${status})`, wait);
  }
  const byToken = hasToken
    ? "Check that the token is valid and its owner has accepted the model's terms."
    : "If it is private or asks to accept terms, give a token: { token }, HF_TOKEN, or `hf auth login`.";
  if (status === 403 || code === "GatedRepo" || (status === 401 && hasToken)) {
    return new DiptychError("AccessDenied", `${host} does not give out ${what} (status ${status}).`, byToken);
  }
  // The hub says 401 to a stranger who asks for what does not exist, so as not to tell what does.
  if (status === 404 || status === 401) {
    const kind = code === "RevisionNotFound" ? "NoSuchRevision" : "NoSuchModel";
    return new DiptychError(kind, `${host} has no ${what} (status ${status}).`, `Check the name or path. ${byToken}`);
  }
  return new DiptychError("Refused", `${host} refuses ${what} with status ${status}.`, "Check the endpoint.");
}

/** undici hides the reason ("ECONNREFUSED") in the cause of a "fetch failed". */
function reason({ message, cause }: Error): string {
  if (cause instanceof AggregateError) return reason(cause.errors[0]);
  if (!(cause instanceof Error)) return message;
  return "code" in cause ? String(cause.code) : cause.message;
}
