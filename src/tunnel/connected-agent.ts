import { Refusal } from "../errors.ts";
import type { Connection } from "../types.ts";
import type { AgentInfo, ServiceTarget } from "./agents.ts";
import { receive } from "./exchange.ts";
import type { TunnelSession } from "./session.ts";
import { type AgentHello, type Answer, encodeOpen, parseAnswer } from "./wire.ts";

/** Answers of an agent that mean something to the router; any other is a plain no. */
export const agentRefusals = {
  unpublished: "unpublished",
  unreachable: "unreachable",
  full: "full",
} as const;

/** An agent that does not answer, and was not heard for so long, is asked last. */
const quietMs = 2000;

/** One connection of an agent, at the router. */
export class ConnectedAgent {
  readonly #hello: AgentHello;
  readonly #session: TunnelSession;
  readonly #connection: Connection;
  readonly #about: Pick<AgentInfo, "address" | "subject">;
  readonly #since = new Date().toISOString();
  /** Requests that it has not answered. */
  #unanswered = 0;
  /** When it last let one go by. */
  #missed = Number.NEGATIVE_INFINITY;

  constructor(
    hello: AgentHello,
    session: TunnelSession,
    connection: Connection,
    about: Pick<AgentInfo, "address" | "subject">,
  ) {
    this.#hello = hello;
    this.#session = session;
    this.#connection = connection;
    this.#about = about;
  }

  get name(): string {
    return this.#hello.name;
  }

  get services(): readonly string[] {
    return this.#hello.services;
  }

  get streams(): number {
    return this.#session.size;
  }

  /** Whether it owes an answer, and is silent: its link may be cut. */
  get isQuiet(): boolean {
    const { silence } = this.#session;
    return silence > performance.now() - this.#missed || (this.#unanswered > 0 && silence > quietMs);
  }

  get info(): AgentInfo {
    const { name, services, version } = this.#hello;
    const { bytesRead: bytesIn, bytesWritten: bytesOut } = this.#connection;
    return {
      name,
      services,
      version,
      ...this.#about,
      since: this.#since,
      streams: this.streams,
      bytesIn,
      bytesOut,
    };
  }

  /** A stream to one of its services. Throws a `Refusal`. */
  async open({ service, connection }: ServiceTarget, withinMs: number): Promise<Connection> {
    const who = `agent ${this.name}`;
    const stream = this.#session.open();
    this.#unanswered++;
    let refused: Answer;
    try {
      await stream.write(encodeOpen({ service, connection }));
      refused = (await receive(stream, parseAnswer, withinMs, who)).refused;
    } catch (error) {
      stream.abort();
      if (error instanceof Refusal && error.reason === "upstream_unreachable") {
        this.#missed = performance.now();
        throw error;
      }
      const detail = error instanceof Error ? error.message : String(error);
      throw new Refusal("upstream_unreachable", `${who}: ${detail}`, { cause: error });
    } finally {
      this.#unanswered--;
    }
    if (refused === null) return stream;
    stream.abort();
    throw new Refusal(reasonOf(refused.reason), `${who}: ${refused.detail}`);
  }
}

function reasonOf(reason: string): Refusal["reason"] {
  if (reason === agentRefusals.unreachable) return "upstream_unreachable";
  return reason === agentRefusals.full ? "limit_reached" : "upstream_refused";
}
