import { Refusal } from "../errors.ts";
import type { Connection, Runtime, TlsClientOptions, TlsConnection } from "../types.ts";
import { WebSocketConnection } from "../websocket/connection.ts";
import { acceptOf, connectPath, newKey } from "../websocket/handshake.ts";
import { dialThroughProxy, type HttpProxy } from "./http-proxy.ts";

/** Where the router is. */
export interface RouterAddress {
  readonly host: string;
  readonly port: number;
  /** PEM trust anchors for its certificates; `null`: the system's. */
  readonly ca: string | null;
}

/** A client certificate with its key, both PEM. */
export interface ClientPair {
  readonly certificate: string;
  readonly key: string;
}

/** Whether connections go straight to the router, or inside a WebSocket. `auto` finds out. */
export const tunnelModes = ["auto", "always", "never"] as const;
export type TunnelMode = (typeof tunnelModes)[number];

/** Remembers between runs which routers are behind a balancer that ends TLS. */
export interface TunnelMemory {
  needed(router: string): boolean;
  remember(router: string, needed: boolean): void;
}

const withinMs = 15_000;

/** Somebody else than the router finished the handshake, or nobody did: what a balancer in between does. */
class NotTheRouter extends Error {}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** How the runtimes' TLS says that nobody it trusts has signed a certificate. */
const untrusted = /self[-_ ]signed|unable[_ ]to[_ ](verify|get)|unknown[ ]?issuer/i;
const sayWhose = "if it is the router's own certificate, name its authority with --ca (SALLYPORT_CA)";

/** The way to a router: TLS with a route's name, protocol and the client's certificate, through a proxy or a balancer if need be. */
export class RouterLink {
  readonly #runtime: Runtime;
  readonly #router: RouterAddress;
  readonly #mode: TunnelMode;
  readonly #memory: TunnelMemory;
  readonly #proxy: HttpProxy | null;
  /** Whether the balancer's own certificate was signed by the router's authority, once that is known. */
  #outerCa: "own" | "system" | undefined;

  /** @param proxy through which every connection goes, if there is one */
  constructor(
    runtime: Runtime,
    router: RouterAddress,
    mode: TunnelMode,
    memory: TunnelMemory,
    proxy: HttpProxy | null,
  ) {
    this.#runtime = runtime;
    this.#router = router;
    this.#mode = mode;
    this.#memory = memory;
    this.#proxy = proxy;
  }

  /** `host:port`. */
  get name(): string {
    return `${this.#router.host}:${this.#router.port}`;
  }

  /** Whether connections go inside a WebSocket, as far as that is known. */
  get tunnelled(): boolean {
    return this.#mode === "always" || (this.#mode === "auto" && this.#memory.needed(this.name));
  }

  get host(): string {
    return this.#router.host;
  }

  /** A connection to the route of this name and protocol. Rejects with words for people. */
  async dial(serverName: string, alpn: string, pair: ClientPair | null): Promise<TlsConnection> {
    const tls: TlsClientOptions = {
      serverName,
      verify: true,
      ca: this.#router.ca === null ? null : [this.#router.ca],
      cert: pair?.certificate ?? null,
      key: pair?.key ?? null,
      alpn: [alpn],
    };
    try {
      return await this.#dial(tls);
    } catch (error) {
      const message = messageOf(error);
      throw untrusted.test(message) ? new Error(`${message}: ${sayWhose}`, { cause: error }) : error;
    }
  }

  async #dial(tls: TlsClientOptions): Promise<TlsConnection> {
    if (this.#mode === "never") return this.#direct(tls);
    if (this.#mode === "always") return this.#tunnelled(tls);
    if (this.#memory.needed(this.name)) {
      try {
        return await this.#tunnelled(tls);
      } catch (error) {
        if (!(error instanceof NotTheRouter)) throw error;
        // The balancer may be gone since.
        this.#memory.remember(this.name, false);
      }
    }
    return this.#findOut(tls);
  }

  /** Straight first; where what answers is not the router, inside a WebSocket. */
  async #findOut(tls: TlsClientOptions): Promise<TlsConnection> {
    let direct: unknown;
    try {
      return await this.#direct(tls);
    } catch (error) {
      // Nobody listens there at all: a balancer would.
      if (error instanceof Refusal && error.reason === "upstream_unreachable") throw error;
      direct = error;
    }
    let connection: TlsConnection;
    try {
      connection = await this.#tunnelled(tls);
    } catch (error) {
      if (!(error instanceof NotTheRouter)) throw error;
      if (messageOf(direct) === error.message) throw direct;
      throw new Error(
        `${messageOf(direct)}; a tunnel through a balancer was no way either: ${error.message}`,
      );
    }
    this.#memory.remember(this.name, true);
    return connection;
  }

  async #direct(tls: TlsClientOptions): Promise<TlsConnection> {
    return this.#checked(await this.#secured(tls), tls);
  }

  /** TLS with whatever is at the router's address. */
  async #secured(tls: TlsClientOptions): Promise<TlsConnection> {
    const { host, port } = this.#router;
    if (this.#proxy === null)
      return (await this.#runtime.dial({ host, port, withinMs, tls })) as TlsConnection;
    const plain = await dialThroughProxy(this.#runtime, this.#proxy, this.name, withinMs);
    try {
      return await this.#runtime.secure(plain, tls, withinMs);
    } catch (error) {
      plain.abort();
      throw error;
    }
  }

  /** The router agrees on what it is asked for; what a balancer says is its own. */
  #checked(connection: TlsConnection, { alpn }: TlsClientOptions): TlsConnection {
    if (alpn === undefined || connection.alpn === alpn[0]) return connection;
    connection.abort();
    const said = connection.alpn === null ? "no protocol" : `the protocol ${connection.alpn}`;
    throw new NotTheRouter(`${this.name} answers ${alpn} with ${said}: something in front of it ends TLS`);
  }

  async #tunnelled(tls: TlsClientOptions): Promise<TlsConnection> {
    const outer = await this.#upgraded();
    try {
      return this.#checked(await this.#runtime.secure(outer, tls, withinMs), tls);
    } catch (error) {
      outer.abort();
      throw error;
    }
  }

  /** A WebSocket to the router's connection upgrade. */
  async #upgraded(): Promise<Connection> {
    const { host, port } = this.#router;
    const client = this.#runtime.httpClient("http/1.1", () => this.#outer());
    const key = newKey();
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), withinMs);
    try {
      const response = await client.request({
        method: "GET",
        target: connectPath,
        authority: port === 443 ? host : `${host}:${port}`,
        upgrade: "websocket",
        fields: [
          ["sec-websocket-version", "13"],
          ["sec-websocket-key", key],
        ],
        body: null,
        signal: late.signal,
      });
      const { upgraded } = response;
      if (upgraded === null) {
        // Nothing of it is of use, and nobody waits for the rest.
        await response.body?.[Symbol.asyncIterator]().return?.();
        throw new NotTheRouter(`${this.name} answers the connection upgrade with ${response.status}`);
      }
      const accept = response.fields.find(([name]) => name === "sec-websocket-accept")?.[1];
      if (accept !== (await acceptOf(key))) {
        upgraded.abort();
        throw new NotTheRouter(`${this.name} does not speak WebSocket`);
      }
      return new WebSocketConnection(upgraded, "client");
    } catch (error) {
      throw error instanceof NotTheRouter ? error : new NotTheRouter(messageOf(error));
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * TLS with whatever stands in front. Its certificate may be a public one while the router's own are not; all that
   * goes inside is TLS to the router itself, verified as ever.
   */
  async #outer(): Promise<Connection> {
    const { host, ca } = this.#router;
    const dial = (anchors: string | null): Promise<Connection> =>
      this.#secured({
        serverName: host,
        verify: true,
        ca: anchors === null ? null : [anchors],
        cert: null,
        key: null,
        alpn: ["http/1.1"],
      });
    if (ca === null || this.#outerCa === "system") return dial(null);
    try {
      const connection = await dial(ca);
      this.#outerCa = "own";
      return connection;
    } catch (error) {
      if (this.#outerCa === "own" || !(error instanceof Refusal) || error.reason !== "upstream_refused")
        throw error;
      const connection = await dial(null);
      this.#outerCa = "system";
      return connection;
    }
  }
}
