import { Cursor, more, no, ok, type Parsed } from "../wire/cursor.ts";

/**
 * What agent and router say to each other beside the frames: JSON objects, each behind its length in two bytes. The
 * agent begins with a hello, the router answers it, and frames follow. Each stream begins in the same way, with what
 * the router asks for, and the agent's answer.
 */

/** Longer is no message. */
export const maxMessage = 16 * 1024;
const maxServices = 64;
const maxText = 200;

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

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

type Members = Readonly<Record<string, unknown>>;

/** The length, and then an object; what it holds is for `read` to say. */
function message<T>(bytes: Uint8Array, what: string, read: (members: Members) => T | null): Parsed<T> {
  const cursor = new Cursor(bytes);
  const length = cursor.u16();
  if (length === undefined) return more(2);
  if (length > maxMessage) return no("too_large", `${what} of ${length} bytes`);
  const body = cursor.bytes(length);
  if (body === undefined) return more(2 + length);
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(body));
  } catch {
    return no("malformed", `${what} that is no JSON`);
  }
  const members = typeof value === "object" && value !== null ? read(value as Members) : null;
  return members === null ? no("malformed", `${what} that says something else`) : ok(members, 2 + length);
}

const isName = (value: unknown): value is string => typeof value === "string" && tunnelName.test(value);

/** What a peer says for people to read: never more than a line. */
const line = (value: unknown): string =>
  typeof value === "string" ? value.replace(/[\p{Cc}\p{Cf}]/gu, " ").slice(0, maxText) : "";

export const parseHello = (bytes: Uint8Array): Parsed<AgentHello> =>
  message(bytes, "a hello", ({ name, services, version }) => {
    if (!isName(name) || !Array.isArray(services) || services.length > maxServices) return null;
    const known: unknown[] = services;
    return known.every(isName) ? { name, services: [...new Set(known)], version: line(version) } : null;
  });

export const parseOpen = (bytes: Uint8Array): Parsed<OpenRequest> =>
  message(bytes, "a request", ({ service, connection }) =>
    // Any text at all: what is not published is refused by name.
    typeof service === "string" ? { service: line(service), connection: line(connection) } : null,
  );

export const parseAnswer = (bytes: Uint8Array): Parsed<{ readonly refused: Answer }> =>
  message(bytes, "an answer", ({ refused }) => {
    if (refused === null) return { refused };
    if (typeof refused !== "object") return null;
    const { reason, detail } = refused as Members;
    return { refused: { reason: line(reason), detail: line(detail) } };
  });

function encoded(value: unknown): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify(value));
  const bytes = new Uint8Array(2 + body.length);
  bytes[0] = body.length >> 8;
  bytes[1] = body.length;
  bytes.set(body, 2);
  return bytes;
}

export const encodeHello = (hello: AgentHello): Uint8Array => encoded(hello);
export const encodeOpen = (request: OpenRequest): Uint8Array => encoded(request);
export const encodeAnswer = (refused: Answer): Uint8Array =>
  encoded({
    refused: refused === null ? null : { reason: refused.reason, detail: refused.detail.slice(0, 2000) },
  });
