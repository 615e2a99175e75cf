import * as base64url from "jose/base64url";
import type { z } from "zod";
import type { CancelKeys, Holder } from "../adapters/postgres/cancel-keys.ts";
import type { CancelKey } from "../adapters/postgres/wire.ts";
import { deadline } from "../core/deadline.ts";
import { type Reason, Refusal, reasons } from "../errors.ts";
import type { KnownValue } from "../state/state.ts";
import type { StatusHere } from "../status/here.ts";
import type { AgentInfo, AgentSource, Agents, ServiceTarget } from "../tunnel/agents.ts";
import { receive } from "../tunnel/exchange.ts";
import { TunnelSession } from "../tunnel/session.ts";
import type { Connection, Runtime } from "../types.ts";
import { no, ok, type Parsed } from "../wire/cursor.ts";
import type { PeerList } from "./messages.ts";
import {
  cancelled,
  knownPart,
  listed,
  opened,
  type PeerRequest,
  peerRequest,
  serviceTarget,
} from "./peer-messages.ts";
import { sameSecret } from "./secret.ts";
import { statusHere } from "./status-message.ts";
import { encodeMessage, parseMessage } from "./wire.ts";

/** Processes of one machine answer soon, or not at all. */
const withinMs = 5000;
/** Somebody waits for a page. */
const statusMs = 1000;
/** From one worker to the agents of another; what each client may is decided before. */
const maxStreams = 100_000;
/** Of what a worker knows, in one message. */
const partLength = 1 << 20;
/** A stream to an agent is held to its limits where its client is. */
const patient = { idleMs: 7 * 86_400_000, halfCloseMs: 86_400_000 };

const message =
  <T>(schema: z.ZodType<T>) =>
  (bytes: Uint8Array): Parsed<T> => {
    const parsed = parseMessage(bytes);
    if (parsed.kind !== "ok") return parsed;
    const value = schema.safeParse(parsed.value);
    if (value.success) return ok(value.data, parsed.used);
    return no("malformed", "a message that says something else");
  };

const isReason = (text: string): text is Exclude<Reason, "ok"> =>
  text !== "ok" && (reasons as readonly string[]).includes(text);

/** The question without the secret that goes with every one. */
type Question = PeerRequest extends infer R ? (R extends PeerRequest ? Omit<R, "secret"> : never) : never;

/** The other workers, as one of them asks them. */
export class Peers implements AgentSource {
  readonly #runtime: Runtime;
  readonly #secret: string;
  readonly #own: number;
  #others: PeerList = [];
  /** Streams to the agents of other workers go over one connection each, by the worker's socket. */
  readonly #sessions = new Map<string, Promise<TunnelSession>>();

  constructor(runtime: Runtime, secret: string, own: number) {
    this.#runtime = runtime;
    this.#secret = secret;
    this.#own = own;
  }

  /** Who there is now, and which agents each has. */
  update(all: PeerList): void {
    this.#others = all.filter(({ number }) => number !== this.#own);
  }

  has(name: string): boolean {
    return this.#others.some(({ agents }) => agents.includes(name));
  }

  async list(): Promise<readonly AgentInfo[]> {
    const asked = this.#others.filter(({ agents }) => agents.length > 0);
    const lists = await Promise.all(
      asked.map(async ({ socket }) => {
        try {
          const [connection, { agents }] = await this.#ask(socket, { type: "agents" }, listed, withinMs);
          connection.abort();
          return agents;
        } catch {
          // A worker that just went took its agents with it.
          return [];
        }
      }),
    );
    return lists.flat();
  }

  /**
   * What the others know of what they do; `null` for each that does not say so soon.
   *
   * @param count how many there should be: one that is being replaced can't be asked
   */
  async statuses(count: number): Promise<readonly (StatusHere | null)[]> {
    const told = this.#others.map(async ({ socket }) => {
      try {
        const [connection, here] = await this.#ask(socket, { type: "status" }, statusHere, statusMs);
        connection.abort();
        return here;
      } catch {
        return null;
      }
    });
    const missing = Math.max(0, count - told.length);
    return [...(await Promise.all(told)), ...Array.from({ length: missing }, () => null)];
  }

  async open(target: ServiceTarget): Promise<Connection | null> {
    const until = performance.now() + target.withinMs;
    let failure: Refusal | null = null;
    for (const { socket } of this.#others.filter(({ agents }) => agents.includes(target.agent))) {
      const left = until - performance.now();
      if (left <= 0) break;
      try {
        const stream = (await this.#session(socket)).open();
        const refused = await this.#begin(stream, { ...target, withinMs: left });
        if (refused === null) return stream;
        stream.abort();
        const { reason, detail } = refused;
        failure ??= new Refusal(isReason(reason) ? reason : "upstream_unreachable", detail);
      } catch (error) {
        const detail = `agent ${target.agent}: the worker that has it is gone`;
        failure ??= new Refusal("upstream_unreachable", detail, { cause: error });
      }
    }
    if (failure !== null) throw failure;
    return null;
  }

  /** All that another worker knows of the state that routers share, in parts. */
  async tellKnown(
    learn: (values: readonly KnownValue[]) => Promise<void>,
  ): Promise<"told" | "nobody knows" | "no answer"> {
    let silent = false;
    for (const { socket } of this.#others) {
      try {
        let [connection, part] = await this.#ask(socket, { type: "known" }, knownPart, withinMs);
        try {
          for (
            ;
            part.values !== null;
            part = await receive(connection, message(knownPart), withinMs, "a worker")
          ) {
            await learn(part.values);
            if (part.last) return "told";
          }
        } finally {
          connection.abort();
        }
      } catch {
        // It may be about to end itself.
        silent = true;
      }
    }
    return silent ? "no answer" : "nobody knows";
  }

  /** Ends what goes to agents of other workers. */
  close(): void {
    for (const session of this.#sessions.values())
      session.then(
        (one) => one.close(),
        () => {},
      );
  }

  /** Tells another worker which agent a stream is for; resolves with why not. */
  async #begin(stream: Connection, target: ServiceTarget): Promise<z.output<typeof opened>["refused"]> {
    try {
      await stream.write(encodeMessage(target));
      return (await receive(stream, message(opened), target.withinMs, "a worker")).refused;
    } catch (error) {
      stream.abort();
      throw error;
    }
  }

  async #session(socket: string): Promise<TunnelSession> {
    const known = this.#sessions.get(socket);
    if (known !== undefined) {
      const session = await known;
      if (session.isOpen) return session;
      if (this.#sessions.get(socket) !== known) return this.#session(socket);
    }
    const made = this.#runtime.dialLocal(socket).then(async (connection) => {
      await connection.write(encodeMessage({ type: "streams", secret: this.#secret }));
      const session = new TunnelSession(connection, { dialled: true, maxStreams, accept: null });
      void session.closed.then(() => {
        connection.abort();
        if (this.#sessions.get(socket) === made) this.#sessions.delete(socket);
      });
      return session;
    });
    this.#sessions.set(socket, made);
    made.catch(() => this.#sessions.delete(socket));
    return made;
  }

  /** @param at the number of the worker that gave out the key, from 0 on */
  async cancel(at: number, { pid, secret }: CancelKey, asking: Holder): Promise<boolean> {
    const peer = this.#others.find(({ number }) => number === at + 1);
    if (peer === undefined) return false;
    const { source, route, identity } = asking;
    const names = identity && {
      keyFingerprint: identity.keyFingerprint,
      subject: identity.subject,
      dnsNames: [...identity.dnsNames],
      emails: [...identity.emails],
      uris: [...identity.uris],
    };
    const key = { pid, secret: base64url.encode(secret) };
    try {
      const question = { type: "cancel", key, asking: { source, route, identity: names } } as const;
      const [connection, { done }] = await this.#ask(peer.socket, question, cancelled, withinMs);
      connection.abort();
      return done;
    } catch {
      return false;
    }
  }

  async #ask<T>(
    socket: string,
    question: Question,
    schema: z.ZodType<T>,
    ms: number,
  ): Promise<readonly [Connection, T]> {
    const connection = await this.#runtime.dialLocal(socket);
    try {
      await connection.write(encodeMessage({ ...question, secret: this.#secret }));
      return [connection, await receive(connection, message(schema), ms, "a worker")];
    } catch (error) {
      connection.abort();
      throw error;
    }
  }
}

/** What a worker has that others may ask for. */
export interface PeerParts {
  readonly runtime: Runtime;
  readonly secret: string;
  readonly agents: Agents;
  readonly cancelKeys: CancelKeys;
  /** Of the state that routers share; `null` where nothing was read of it, or there is none. */
  readonly known: () => Iterable<KnownValue> | null;
  readonly status: () => StatusHere;
}

/** Answers the other workers. Whoever does not know the secret hears nothing. */
export class PeerServer {
  readonly #parts: PeerParts;
  readonly #streams = new Set<Promise<unknown>>();

  constructor(parts: PeerParts) {
    this.#parts = parts;
  }

  /** Resolves once no other worker uses an agent of this one. */
  async idle(): Promise<void> {
    while (this.#streams.size > 0) await Promise.race(this.#streams);
  }

  async serve(connection: Connection): Promise<void> {
    try {
      await this.#answer(connection);
    } catch {
      connection.abort();
    }
  }

  async #answer(connection: Connection): Promise<void> {
    const request = await receive(connection, message(peerRequest), withinMs, "a worker");
    const { secret, agents, cancelKeys } = this.#parts;
    if (!sameSecret(request.secret, secret)) {
      connection.abort();
      return;
    }
    switch (request.type) {
      case "streams": {
        const accept = (stream: Connection): void => void this.#open(stream).catch(() => stream.abort());
        await new TunnelSession(connection, { dialled: false, maxStreams, accept }).closed;
        connection.abort();
        break;
      }
      case "agents":
        await connection.write(encodeMessage({ agents: agents.local() }));
        await this.#hungUp(connection);
        break;
      case "status":
        await connection.write(encodeMessage(this.#parts.status()));
        await this.#hungUp(connection);
        break;
      case "known":
        await this.#tellKnown(connection);
        await this.#hungUp(connection);
        break;
      case "cancel": {
        const key = { pid: request.key.pid, secret: base64url.decode(request.key.secret) };
        await connection.write(encodeMessage({ done: await cancelKeys.cancelOwn(key, request.asking) }));
        await this.#hungUp(connection);
        break;
      }
    }
  }

  async #tellKnown(connection: Connection): Promise<void> {
    const known = this.#parts.known();
    let values: KnownValue[] = [];
    let length = 0;
    for (const one of known ?? []) {
      values.push(one);
      length += one.text.length;
      if (length < partLength) continue;
      await connection.write(encodeMessage({ values, last: false }));
      values = [];
      length = 0;
    }
    await connection.write(encodeMessage({ values: known === null ? null : values, last: true }));
  }

  async #open(asked: Connection): Promise<void> {
    const { agents, runtime } = this.#parts;
    const target = await receive(asked, message(serviceTarget), withinMs, "a worker");
    const found = await agents.openLocal({ ...target, asking: null });
    if (found instanceof Refusal) {
      const { reason, message: detail } = found;
      await asked.write(encodeMessage({ refused: { reason, detail } }));
      await asked.closeWrite();
      return;
    }
    const carried = asked
      .write(encodeMessage({ refused: null }))
      .then(() => runtime.relay(asked, found, patient))
      .catch(() => {
        asked.abort();
        found.abort();
      });
    this.#streams.add(carried);
    await carried;
    this.#streams.delete(carried);
  }

  /** Whoever asked ends the connection once it has read the answer. */
  async #hungUp(connection: Connection): Promise<void> {
    const late = deadline(withinMs, () => connection.abort());
    await connection.read().catch(() => null);
    late.cancel();
    connection.abort();
  }
}
