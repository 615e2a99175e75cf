import { EventEmitter } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Route } from "../../src/core/route.ts";
import type { Session } from "../../src/core/session.ts";
import { Refusal } from "../../src/errors.ts";
import type { HttpServing } from "../../src/http/exchange.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import type { Connection } from "../../src/types.ts";

export const runtime = await selectRuntime();

export interface Front {
  readonly port: number;
  /** How each connection ended: `null` for well. */
  readonly ended: (Refusal | null)[];
  /** Breaks every open connection off, as a router does with a client that is no longer welcome. */
  cut(): void;
  close(): Promise<void>;
}

/** Accepts connections on the runtime under test and gives each to `serve`. */
export async function startFront(serve: (connection: Connection) => Promise<void>): Promise<Front> {
  const ended: (Refusal | null)[] = [];
  const open = new Set<Connection>();
  const listener = await runtime.listen(
    { host: "127.0.0.1", port: 0 },
    {
      connection: (connection) => {
        open.add(connection);
        serve(connection).then(
          () => ended.push(null),
          (error: unknown) =>
            ended.push(error instanceof Refusal ? error : new Refusal("protocol_error", String(error))),
        );
        void connection.closed.then(() => open.delete(connection));
      },
      acceptFailed: () => {},
    },
  );
  const cut = (): void => {
    for (const connection of open) connection.abort();
  };
  return {
    port: listener.address.port,
    ended,
    cut,
    close: async () => {
      cut();
      void listener.close();
    },
  };
}

/** A front that serves HTTP without TLS: what is under test begins where TLS ends. */
export const startHttp = (
  serving: HttpServing,
  alpn: "h2" | null = null,
  draining: AbortSignal = new AbortController().signal,
  idleMs = 60_000,
  headMs = 60_000,
): Promise<Front> =>
  startFront((connection) =>
    runtime.serveHttp(connection, alpn, serving, draining, { idleMs, halfCloseMs: idleMs / 4, headMs }),
  );

const route: Route = {
  name: "app",
  variable: "SALLYPORT_ROUTE_APP",
  scheme: "http",
  adapter: "http",
  terminates: true,
  names: [],
  alpn: ["h2", "http/1.1"],
  takesNoAlpn: true,
  sources: null,
  client: "none",
  anchors: [],
  allow: [],
  login: null,
  port: null,
  upstream: null,
  database: null,
  kubernetes: null,
  http: { answerMs: 60_000, maxRequests: 1024 },
  sessionTimeoutMs: null,
  idleTimeoutMs: 60_000,
  maxConnections: null,
  certificate: null,
  crl: [],
  expiryGraceMs: 30_000,
};

export interface SessionOptions {
  readonly scheme?: "http" | "h2c";
  readonly alpn?: "h2" | null;
  readonly serverName?: string | null;
  readonly upstreamPort: number;
  readonly noted?: Refusal[];
  /** Before each dial of the upstream. */
  readonly dials?: () => Promise<void>;
}

/** A session as the core makes it, for a client that was admitted as `app.test`. */
export function sessionOf(client: Connection, options: SessionOptions): Session {
  const { alpn = null, serverName = "app.test", scheme = "http", upstreamPort } = options;
  const draining = new AbortController().signal;
  const dial = async (): Promise<Connection> => {
    await options.dials?.();
    return runtime.dial({ host: "127.0.0.1", port: upstreamPort, withinMs: 2000 });
  };
  const limits = { idleMs: 60_000, halfCloseMs: 60_000 };
  const carry = async (left: Connection, right: Connection): Promise<void> => {
    await runtime.relay(left, right, limits);
  };
  return {
    arrival: { own: null, only: null, listener: "127.0.0.1:8443", tunnelled: false },
    route: { ...route, scheme },
    client,
    tls: null,
    serverName,
    alpn,
    identity: null,
    shownUris: [],
    gate: null,
    source: { address: "192.0.2.7", port: 4711 },
    draining,
    upstream: `127.0.0.1:${upstreamPort}`,
    captures: {},
    id: "00000000-0000-0000-0000-000000000000",
    dial,
    dialPlain: dial,
    secure: () => Promise.reject(new Error("no TLS here")),
    assertion: async () => null,
    mint: () => Promise.reject(new Error("no authority here")),
    identified: () => {},
    opened: () => {},
    statement: () => {},
    apiRequest: () => {},
    upstreamToken: () => "",
    published: () => {},
    signedIn: () => {},
    forwarded: () => {},
    relay: (upstream) => carry(client, upstream),
    forward: async () => carry(client, await dial()),
    carry,
    serveHttp: (serving) =>
      runtime.serveHttp(client, alpn, serving, draining, { idleMs: 60_000, halfCloseMs: 60_000 }),
    httpClient: () => runtime.httpClient(scheme === "h2c" ? "h2" : "http/1.1", dial),
    note: (refusal) => void options.noted?.push(refusal),
    movedOn: () => {},
  };
}

/** An upstream that shows the very bytes that reach it. */
export class RawUpstream extends EventEmitter {
  port = 0;
  /** All that came, connection by connection. */
  readonly seen: string[] = [];
  readonly sockets = new Set<Socket>();
  #server: Server | undefined;

  /** `answer` is called with every chunk and with all that came on its connection so far. */
  static async start(answer: (socket: Socket, soFar: string, nth: number) => void): Promise<RawUpstream> {
    const upstream = new RawUpstream();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const nth = upstream.seen.push("") - 1;
      upstream.sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => upstream.sockets.delete(socket));
      // An end or a reset, whichever comes.
      for (const event of ["end", "close"]) socket.once(event, () => upstream.emit("over"));
      socket.on("data", (chunk: Buffer) => {
        const soFar = (upstream.seen[nth] ?? "") + chunk.toString("latin1");
        upstream.seen[nth] = soFar;
        answer(socket, soFar, nth);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    upstream.port = typeof address === "object" && address !== null ? address.port : 0;
    upstream.#server = server;
    return upstream;
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

export const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** The requests in these bytes as a strict server reads them: what is left over would be the next request's head. */
export function requestsIn(bytes: string): { readonly head: string; readonly body: string }[] {
  const found: { head: string; body: string }[] = [];
  for (let rest = bytes; ; ) {
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0) return found;
    const head = rest.slice(0, end);
    rest = rest.slice(end + 4);
    let body = "";
    if (/^transfer-encoding:\s*chunked\s*$/im.test(head)) {
      for (;;) {
        const line = rest.indexOf("\r\n");
        if (line < 0) return found;
        const size = Number.parseInt(rest.slice(0, line), 16);
        if (!(size >= 0)) return found;
        if (rest.length < line + 2 + size + 2) return found;
        body += rest.slice(line + 2, line + 2 + size);
        rest = rest.slice(line + 2 + size + 2);
        if (size === 0) break;
      }
    } else {
      const length = Number(/^content-length:\s*(\d+)\s*$/im.exec(head)?.[1] ?? 0);
      if (rest.length < length) return found;
      body = rest.slice(0, length);
      rest = rest.slice(length);
    }
    found.push({ head, body });
  }
}

/** An upstream that answers `answer` to every request that is there to its last byte. */
export function answering(answer = ok): Promise<RawUpstream> {
  const answered = new Map<Socket, number>();
  return RawUpstream.start((socket, soFar) => {
    const complete = requestsIn(soFar).length;
    for (let i = answered.get(socket) ?? 0; i < complete; i++) socket.write(answer, "latin1");
    answered.set(socket, complete);
  });
}

/** A plain connection to a front that keeps what comes. */
export class RawClient {
  readonly socket: Socket;
  bytes: Buffer = Buffer.alloc(0);
  ended = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    const wake = (): void => this.#wake();
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      wake();
    });
    for (const event of ["end", "close"]) {
      socket.once(event, () => {
        this.ended = true;
        wake();
      });
    }
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new RawClient(socket)));
    });
  }

  get text(): string {
    return this.bytes.toString("latin1");
  }

  /** Waits until `fits`, the end, or `ms`; gives all that came. */
  async until(fits: (text: string) => boolean, ms = 60_000): Promise<string> {
    const late = performance.now() + ms;
    while (!fits(this.text) && !this.ended) {
      const left = late - performance.now();
      if (left <= 0) break;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.text;
  }

  /** All until the other side has ended. Rejects when it does not. */
  async all(ms = 60_000): Promise<string> {
    const text = await this.until(() => false, ms);
    if (!this.ended) throw new Error(`still open after: ${text.slice(0, 2000)}`);
    return text;
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until it holds, bounded. */
export async function eventually(holds: () => boolean, ms = 60_000): Promise<boolean> {
  for (const late = performance.now() + ms; performance.now() < late; await pause(10))
    if (holds()) return true;
  return holds();
}
