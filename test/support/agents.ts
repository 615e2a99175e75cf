import { readFileSync } from "node:fs";
import type { TLSSocket } from "node:tls";
import { RouterLink } from "../../src/local/link.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import {
  Agent,
  type AgentEvents,
  type AgentLink,
  type AgentTimes,
  type ServiceAddress,
} from "../../src/tunnel/agent.ts";
import { type Answer, encodeHello, parseAnswer } from "../../src/tunnel/wire.ts";
import type { Runtime } from "../../src/types.ts";
import { atEnd } from "./at-end.ts";
import { dial, firstBytes } from "./client.ts";
import type { Site } from "./router.ts";

/** A connection to the router as an agent's, on which the test says what an agent would. */
export async function greet(
  site: Site,
  port: number,
  as: string,
  name: string,
  services: readonly string[] = ["x"],
): Promise<{ readonly answer: Answer; readonly socket: TLSSocket }> {
  const socket = await dial(site, port, "localhost", { as, ALPNProtocols: ["sallyport-tunnel"] });
  socket.write(encodeHello({ name, services, version: "0" }));
  const said = parseAnswer((await firstBytes(socket)) ?? new Uint8Array(0));
  if (said.kind !== "ok") throw new Error(`the router answers with no answer: ${said.kind}`);
  // Whoever refuses waits for us to close as well.
  if (said.value.refused !== null) socket.end();
  return { answer: said.value.refused, socket };
}

export interface AgentHere {
  readonly agent: Agent;
  /** What it has told, a line each. */
  readonly said: readonly string[];
  until(words: RegExp): Promise<void>;
}

/** An agent in this process, rather than in one of its own, which comes with this certificate; it is running. */
export async function agentHere(
  site: Site,
  port: number,
  as: string,
  name: string,
  services: Readonly<Record<string, ServiceAddress>>,
  times: AgentTimes = {},
): Promise<AgentHere> {
  const runtime = await selectRuntime();
  const router = { host: "localhost", port, ca: readFileSync(`${site.folder}/ca.crt`, "utf8") };
  const link = new RouterLink(runtime, router, "never", { needed: () => false, remember: () => {} }, null);
  const certificate = (): string => readFileSync(`${site.folder}/${as}.crt`, "utf8");
  let shown = "";
  const files: AgentLink = {
    dial: async () => {
      shown = certificate();
      const key = readFileSync(`${site.folder}/${as}.key`, "utf8");
      return link.dial(router.host, "sallyport-tunnel", { certificate: shown, key });
    },
    isCurrent: async () => certificate() === shown,
  };
  return agentBy(files, runtime, name, services, times);
}

/** The same, which reaches the router by another way. */
export function agentBy(
  link: AgentLink,
  runtime: Runtime,
  name: string,
  services: Readonly<Record<string, ServiceAddress>>,
  times: AgentTimes = {},
): AgentHere {
  const said: string[] = [];
  const waiting = new Set<() => void>();
  const say = (line: string): void => {
    said.push(line);
    for (const look of waiting) look();
  };
  const events: AgentEvents = {
    connected: () => say(said.includes("connected") ? "connected anew" : "connected"),
    lost: (why) => say(`lost: ${why}`),
    moving: (why) => say(`moving: ${why}`),
    failed: (why) => say(`failed: ${why}`),
  };
  const agent = new Agent(runtime, name, "0", new Map(Object.entries(services)), link, events, times);
  const over = agent.run();
  atEnd(async () => {
    agent.stop();
    agent.stop();
    await over;
  });
  return {
    agent,
    said,
    until: (words) =>
      new Promise((resolve, reject) => {
        const late = setTimeout(() => {
          waiting.delete(look);
          reject(new Error(`it never said ${words}: ${said.join("; ")}`));
        }, 60_000);
        const look = (): void => {
          if (!said.some((line) => words.test(line))) return;
          clearTimeout(late);
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}
