/**
 * @file The live page of a run: a server on this machine that sends the report's parts again when they change (Server-Sent
 * Events). It looks at the run's folder, not into the trainer, so it can watch a run of any process.
 */
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { DiptychError } from "../errors.js";
import { livePage, type RunStory, runParts, stateOf } from "../report/index.js";
import { followRun } from "./runFolder.js";

export const defaultPort = 6060;

export interface LivePage {
  readonly url: string;
  /** Sends the last state and ends. */
  close(): Promise<void>;
}

/** @throws DiptychError "PortTaken", "PortRefused" */
export async function serveLivePage(folder: string, port: number): Promise<LivePage> {
  const read = followRun(folder);
  const listeners = new Set<ServerResponse>();
  const shown = new Map<string, string>();
  const story = async (): Promise<RunStory> => {
    const told = await read();
    return { ...told, state: stateOf(told, "running") };
  };

  const update = async (): Promise<void> => {
    for (const part of runParts(await story())) {
      if (shown.get(part.id) === part.html) continue;
      shown.set(part.id, part.html);
      for (const listener of listeners) send(listener, part);
    }
  };

  const answer = async (url: string | undefined, response: ServerResponse): Promise<void> => {
    if (url === "/") {
      const page = livePage(await story());
      response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end(page);
    } else if (url === "/events") {
      response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
      for (const [id, html] of shown) send(response, { id, html });
      listeners.add(response);
      response.on("close", () => listeners.delete(response));
    } else response.writeHead(404).end();
  };
  // a page that cannot be drawn is no reason to end the run beside it
  const server = createServer(({ url }, response) => void answer(url, response).catch(() => response.destroy()));
  await listen(server, port);

  let timer: NodeJS.Timeout;
  const tick = async (): Promise<void> => {
    const began = performance.now();
    if (listeners.size > 0) await update().catch(() => {});
    // drawing a long run takes its time: never more than a twentieth of the trainer's
    if (server.listening) timer = setTimeout(tick, Math.max(1000, 20 * (performance.now() - began)));
  };
  await tick();
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      clearTimeout(timer);
      await update();
      for (const listener of listeners) listener.end();
      await closed;
    },
  };
}

const send = (listener: ServerResponse, data: unknown): boolean => listener.write(`data: ${JSON.stringify(data)}\n\n`);

/** On this machine only: whoever wants to look from elsewhere tunnels. */
const listen = (server: Server, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const taken = cause.code === "EADDRINUSE";
      const problem = taken ? `Port ${port} is taken.` : `Port ${port} cannot be opened: ${cause.message}.`;
      reject(
        new DiptychError(taken ? "PortTaken" : "PortRefused", problem, "Give another one: --watch 6061.", { cause }),
      );
    });
    server.listen(port, "127.0.0.1", resolve);
  });

/** What stands behind `--watch`: a port, or nothing for the usual one. @throws DiptychError "InvalidPort" */
export function parsePort(given: string | true): number {
  if (given === true) return defaultPort;
  const port = Number(given);
  if (Number.isInteger(port) && port >= 0 && port < 65536) return port;
  throw new DiptychError("InvalidPort", `"${given}" is no port.`, "Give a number from 1 to 65535, or none.");
}
