import type { Parsed } from "../wire/cursor.ts";
import { encodeShort, line, type Members, parseShort } from "../wire/short-message.ts";

/**
 * What agent and router say to each other beside the frames. The agent begins with a hello, the router answers it, and
 * frames follow. Each stream begins in the same way, with what the router asks for, and the agent's answer.
 */

const maxServices = 64;

/** A label as in a host name, so that a name can stand in one: for agents and for services. */
export const tunnelName = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** What an agent says of itself. */
export interface AgentHello {
  readonly name: string;
  readonly services: readonly string[];
  /** Of its program: for people. */
  readonly version: string;
}

/** What the router asks of an agent. */
export interface OpenRequest {
  readonly service: string;
  /** The connection's id in the router's audit log. */
  readonly connection: string;
}

/** `null`: it may. */
export type Answer = { readonly reason: string; readonly detail: string } | null;

const isName = (value: unknown): value is string => typeof value === "string" && tunnelName.test(value);

export const parseHello = (bytes: Uint8Array): Parsed<AgentHello> =>
  parseShort(bytes, "a hello", ({ name, services, version }) => {
    if (!isName(name) || !Array.isArray(services) || services.length > maxServices) return null;
    const known: unknown[] = services;
    return known.every(isName) ? { name, services: [...new Set(known)], version: line(version) } : null;
  });

export const parseOpen = (bytes: Uint8Array): Parsed<OpenRequest> =>
  parseShort(bytes, "a request", ({ service, connection }) =>
    // Any text at all: what is not published is refused by name.
    typeof service === "string" ? { service: line(service), connection: line(connection) } : null,
  );

export const parseAnswer = (bytes: Uint8Array): Parsed<{ readonly refused: Answer }> =>
  parseShort(bytes, "an answer", ({ refused }) => {
    if (refused === null) return { refused };
    if (typeof refused !== "object") return null;
    const { reason, detail } = refused as Members;
    return { refused: { reason: line(reason), detail: line(detail) } };
  });

export const encodeHello = (hello: AgentHello): Uint8Array => encodeShort(hello);
export const encodeOpen = (request: OpenRequest): Uint8Array => encodeShort(request);
export const encodeAnswer = (refused: Answer): Uint8Array =>
  encodeShort({
    refused: refused === null ? null : { reason: refused.reason, detail: refused.detail.slice(0, 2000) },
  });
