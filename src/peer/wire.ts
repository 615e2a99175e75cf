import type { Parsed } from "../wire/cursor.ts";
import { encodeShort, line, type Members, parseShort } from "../wire/short-message.ts";

/**
 * What routers say to each other beside the frames. The one that was dialled begins with an answer, as to an agent;
 * then each stream begins with what the other one asks for.
 */

/** For whom a stream is opened, by the word of the router that the client came to: for records alone. */
export interface Asking {
  /** `address:port` of the client. */
  readonly source: string;
  /** The route that admitted it there. */
  readonly route: string;
  /** Of its certificate. */
  readonly identity: { readonly subject: string; readonly fingerprint: string } | null;
}

/** One stream to a service of an agent. */
export interface ForwardRequest {
  readonly agent: string;
  readonly service: string;
  /** The connection's id in the audit log of the router that asks. */
  readonly connection: string;
  readonly withinMs: number;
  /** `null` where a connection is shared by many clients. */
  readonly asking: Asking | null;
}

/** `list`: which agents are connected. */
export type PeerRequest =
  | { readonly ask: "open"; readonly target: ForwardRequest }
  | { readonly ask: "list" };

/** One agent of a list; `null`: that was the last. */
export interface ListedAgent {
  readonly name: string;
  readonly services: readonly string[];
  readonly version: string;
  readonly address: string;
  readonly subject: string;
  readonly since: string;
  readonly streams: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** More than anybody waits. */
const longestWaitMs = 600_000;
const maxServices = 64;

const record = (value: unknown): Members | null =>
  typeof value === "object" && value !== null ? (value as Members) : null;
const whole = (value: unknown): number => (Number.isSafeInteger(value) ? Math.max(0, value as number) : 0);

function askingOf(value: unknown): Asking | null {
  const asking = record(value);
  if (asking === null) return null;
  const identity = record(asking.identity);
  return {
    source: line(asking.source),
    route: line(asking.route),
    identity: identity && { subject: line(identity.subject), fingerprint: line(identity.fingerprint) },
  };
}

export const parsePeerRequest = (bytes: Uint8Array): Parsed<PeerRequest> =>
  parseShort(bytes, "a request", ({ ask, agent, service, connection, within_ms: ms, asking }) => {
    if (ask === "list") return { ask };
    if (ask !== "open" || typeof agent !== "string" || typeof service !== "string") return null;
    const withinMs = Math.min(whole(ms), longestWaitMs);
    return {
      ask,
      target: {
        agent: line(agent),
        service: line(service),
        connection: line(connection),
        withinMs,
        asking: askingOf(asking),
      },
    };
  });

export const parseListedAgent = (bytes: Uint8Array): Parsed<{ readonly agent: ListedAgent | null }> =>
  parseShort(bytes, "a list", ({ agent }) => {
    if (agent === null) return { agent };
    const one = record(agent);
    if (one === null || !Array.isArray(one.services)) return null;
    const services: unknown[] = one.services;
    return {
      agent: {
        name: line(one.name),
        services: services.slice(0, maxServices).map(line),
        version: line(one.version),
        address: line(one.address),
        subject: line(one.subject),
        since: line(one.since),
        streams: whole(one.streams),
        bytesIn: whole(one.bytes_in),
        bytesOut: whole(one.bytes_out),
      },
    };
  });

export function encodePeerRequest(request: PeerRequest): Uint8Array {
  if (request.ask === "list") return encodeShort({ ask: "list" });
  const { agent, service, connection, withinMs, asking } = request.target;
  return encodeShort({
    ask: "open",
    agent,
    service,
    connection,
    within_ms: Math.ceil(withinMs),
    asking: asking && {
      source: line(asking.source),
      route: line(asking.route),
      identity: asking.identity && {
        subject: line(asking.identity.subject),
        fingerprint: line(asking.identity.fingerprint),
      },
    },
  });
}

export const encodeListedAgent = (agent: ListedAgent | null): Uint8Array =>
  encodeShort({
    agent: agent && {
      name: agent.name,
      services: agent.services,
      version: agent.version,
      address: agent.address,
      subject: line(agent.subject),
      since: agent.since,
      streams: agent.streams,
      bytes_in: agent.bytesIn,
      bytes_out: agent.bytesOut,
    },
  });
