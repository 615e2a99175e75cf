import { Refusal } from "../errors.ts";
import type { Connection, Endpoint, Runtime } from "../types.ts";
import { agentRefusals } from "./connected-agent.ts";
import { receive } from "./exchange.ts";
import { TunnelSession } from "./session.ts";
import type { TunnelStream } from "./stream.ts";
import { type AgentHello, encodeAnswer, encodeHello, parseAnswer, parseOpen } from "./wire.ts";

/** Where a published service is. */
export type ServiceAddress = { readonly host: string; readonly port: number };

/** The way to the router, with a certificate that is good now. */
export interface AgentLink {
  dial(): Promise<Connection>;
  /** Whether what the last `dial` showed is still what it would show. */
  isCurrent(): Promise<boolean>;
}

export interface AgentEvents {
  connected(router: Endpoint): void;
  /** The connection to the router is gone, or can't be had: why, and after how long it is tried again. */
  lost(why: string, againMs: number): void;
  /** Another connection takes the place of this one. */
  moving(why: string): void;
  /** A request of the router's came to nothing. */
  failed(why: string): void;
}

export interface AgentTimes {
  /** How often the certificate of the connection is held against the one that there is now. */
  readonly lookEveryMs?: number;
}

const answerMs = 15_000;
const dialMs = 10_000;
const firstBackOffMs = 500;
const longestBackOffMs = 30_000;
/** The agent's own: how long a stream may say nothing is the router's to decide. */
const patient = { idleMs: 7 * 86_400_000, halfCloseMs: 86_400_000 };
/** More than the router may have open. */
const maxStreams = 10_000;
/** For requests that were on their way when the router was asked for no more. */
const lastRequestsMs = 1000;
/** How long streams may go on once we were told to stop. */
const lastStreamsMs = 30_000;

/** One connection to the router, and when it is time for another. */
interface Tunnel {
  readonly session: TunnelSession;
  /** Resolves with why another one is due. */
  readonly due: Promise<string>;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Publishes services through a router: dials it, and stays connected until it is told to stop. */
export class Agent {
  readonly #runtime: Runtime;
  readonly #hello: AgentHello;
  readonly #services: ReadonlyMap<string, ServiceAddress>;
  readonly #link: AgentLink;
  readonly #events: AgentEvents;
  readonly #lookEveryMs: number;
  readonly #stop = new AbortController();
  /** Connections that are there, those among them whose streams alone go on. */
  readonly #sessions = new Set<TunnelSession>();

  constructor(
    runtime: Runtime,
    name: string,
    version: string,
    services: ReadonlyMap<string, ServiceAddress>,
    link: AgentLink,
    events: AgentEvents,
    { lookEveryMs = 20_000 }: AgentTimes = {},
  ) {
    this.#runtime = runtime;
    this.#hello = { name, version, services: [...services.keys()] };
    this.#services = services;
    this.#link = link;
    this.#events = events;
    this.#lookEveryMs = lookEveryMs;
  }

  /** Resolves once it was stopped, and the streams that were open are over, or have had their time. */
  async run(): Promise<void> {
    let before: TunnelSession | undefined;
    let backOff = firstBackOffMs;
    while (!this.#stop.signal.aborted) {
      let tunnel: Tunnel;
      try {
        tunnel = await this.#connect();
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        // Anywhere below the limit, so that many agents don't come back all at once.
        const again = Math.round(backOff * Math.random());
        this.#events.lost(messageOf(error), again);
        await this.#sleep(again);
        backOff = Math.min(backOff * 2, longestBackOffMs);
        continue;
      }
      backOff = firstBackOffMs;
      if (before !== undefined) retire(before);
      const why = await Promise.race([tunnel.due, this.#stopped()]);
      if (this.#stop.signal.aborted) break;
      before = tunnel.session;
      if (this.#sessions.has(before)) this.#events.moving(why);
      else {
        const again = Math.round(backOff * Math.random());
        this.#events.lost(why, again);
        await this.#sleep(again);
      }
    }
    await this.#finish();
  }

  /** Streams that are open go on for a while; called again, they are cut. */
  stop(): void {
    if (this.#stop.signal.aborted) for (const session of this.#sessions) session.close();
    this.#stop.abort();
  }

  async #finish(): Promise<void> {
    for (const session of this.#sessions) retire(session);
    const late = setTimeout(() => {
      for (const session of this.#sessions) session.close();
    }, lastStreamsMs);
    await Promise.all([...this.#sessions].map(({ closed }) => closed));
    clearTimeout(late);
  }

  #stopped(): Promise<string> {
    return new Promise((resolve) => {
      if (this.#stop.signal.aborted) resolve("stopped");
      else this.#stop.signal.addEventListener("abort", () => resolve("stopped"), { once: true });
    });
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#stop.signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#stop.signal.addEventListener("abort", done);
    });
  }

  async #connect(): Promise<Tunnel> {
    const connection = await this.#link.dial();
    try {
      await connection.write(encodeHello(this.#hello));
      const { refused } = await receive(connection, parseAnswer, answerMs, "the router");
      if (refused !== null) throw new Error(`the router refuses: ${refused.reason}: ${refused.detail}`);
    } catch (error) {
      connection.abort();
      throw error;
    }
    let due = (_: string): void => {};
    const isDue = new Promise<string>((resolve) => {
      due = resolve;
    });
    const session = new TunnelSession(connection, {
      dialled: true,
      maxStreams,
      accept: (stream) => void this.#serve(stream),
      goneAway: () => due("the router asks for it: it drains"),
    });
    this.#sessions.add(session);
    const watch = setInterval(() => {
      this.#link.isCurrent().then(
        (current) => {
          if (!current) due("there is a new certificate");
        },
        // Whoever has none that is good is told when it next dials.
        () => {},
      );
    }, this.#lookEveryMs);
    void session.closed.then(() => {
      clearInterval(watch);
      this.#sessions.delete(session);
      due(session.failure?.message ?? "the router closed the connection");
    });
    this.#events.connected(connection.remote);
    return { session, due: isDue };
  }

  /** One stream, which ends where the service that it asks for does. */
  async #serve(stream: TunnelStream): Promise<void> {
    const refuse = async (reason: string, detail: string): Promise<void> => {
      await stream.write(encodeAnswer({ reason, detail }));
      await stream.closeWrite();
    };
    try {
      const { service } = await receive(stream, parseOpen, answerMs, "the router");
      // What was published, by name: an address is none, whatever the router asks for.
      const address = this.#services.get(service);
      if (address === undefined) {
        this.#events.failed(
          `the router asks for ${JSON.stringify(service)}, which is not published: refused`,
        );
        return await refuse(agentRefusals.unpublished, `service ${service} is not published`);
      }
      let upstream: Connection;
      try {
        upstream = await this.#runtime.dial({ ...address, withinMs: dialMs });
      } catch (error) {
        const why = `service ${service}: ${messageOf(error)}`;
        this.#events.failed(why);
        // Where services are is nobody's business at the other end.
        const reason =
          error instanceof Refusal && error.message.includes("within")
            ? "it does not answer"
            : "it can't be dialled";
        return await refuse(agentRefusals.unreachable, `service ${service}: ${reason}`);
      }
      try {
        await stream.write(encodeAnswer(null));
      } catch (error) {
        upstream.abort();
        throw error;
      }
      await this.#runtime.relay(stream, upstream, patient);
    } catch {
      // The router has gone away from it, and knows.
      stream.abort();
    }
  }
}

/** No new streams on it; it ends with the last one that is open. */
function retire(session: TunnelSession): void {
  session.goAway();
  session.whenEmpty(() => {
    setTimeout(() => {
      if (session.size === 0) session.close();
    }, lastRequestsMs);
  });
}
