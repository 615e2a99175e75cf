import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from "node:http2";
import { type Deadline, deadline } from "../../core/deadline.ts";
import { Refusal } from "../../errors.ts";
import type { HttpClient, HttpClientRequest, HttpClientResponse, HttpFields } from "../../http/exchange.ts";
import { dialled, Unsent } from "../../http/unsent.ts";
import type { Connection } from "../../types.ts";
import { ConnectionDuplex } from "./connection-duplex.ts";
import { DuplexConnection } from "./duplex-connection.ts";
import { joined } from "./fields.ts";
import { sendBody } from "./http2-request-body.ts";
import { ResponseBody } from "./http2-response-body.ts";
import { refused } from "./refused.ts";

/** Requests at once on one connection, where the upstream allows as many. */
const maxStreams = 100;
/** Of a response's fields. */
const maxHeaderBytes = 64 * 1024;
const idleMs = 60_000;
const settingsMs = 10_000;

/** One connection. */
class Opened {
  readonly session: ClientHttp2Session;
  active = 0;
  /** It takes no further request. */
  leaving = false;
  #idle: Deadline | undefined;
  /** Whether the upstream takes extended CONNECT, once it has said so. */
  readonly settled: Promise<void>;

  constructor(connection: Connection, scheme: string, gone: () => void) {
    const stream = new ConnectionDuplex(connection);
    this.session = connect(`${scheme}://upstream`, {
      createConnection: () => stream,
      settings: { enablePush: false, maxHeaderListSize: maxHeaderBytes },
    });
    const leave = (): void => {
      this.leaving = true;
      this.#idle?.cancel();
      this.#idle = undefined;
      if (this.active === 0) this.session.close();
      gone();
    };
    this.settled = new Promise((resolve) => {
      this.session.once("remoteSettings", () => resolve());
      this.session.once("close", () => resolve());
    });
    this.session.once("close", leave);
    this.session.once("goaway", leave);
    this.session.on("error", leave);
    // Not every runtime's session sees by itself that the connection under it has ended.
    const over = (): void => {
      leave();
      this.session.destroy();
    };
    stream.once("end", over);
    stream.once("close", over);
  }

  get hasRoom(): boolean {
    const theirs = this.session.remoteSettings?.maxConcurrentStreams ?? maxStreams;
    return !this.leaving && !this.session.destroyed && this.active < Math.min(theirs, maxStreams);
  }

  enter(): void {
    this.active++;
    this.#idle?.cancel();
    this.#idle = undefined;
  }

  leave(): void {
    if (--this.active > 0) return;
    if (this.leaving) this.session.close();
    else this.#idle = deadline(idleMs, () => this.session.close());
  }

  close(): void {
    this.#idle?.cancel();
    this.session.close();
  }
}

/** HTTP/2 over connections that `dial` makes: as many as the requests under way need. */
export class Http2Client implements HttpClient {
  readonly #dial: () => Promise<Connection>;
  readonly #scheme: string;
  readonly #open = new Set<Opened>();
  #opening: Promise<Opened> | undefined;

  constructor(scheme: "http" | "https", dial: () => Promise<Connection>) {
    this.#dial = dial;
    this.#scheme = scheme;
  }

  /** Whether a request could go out at once. */
  get isOpen(): boolean {
    return this.#withRoom() !== undefined;
  }

  /** Gives it a connection that is open already. */
  offer(connection: Connection): Opened {
    const opened = new Opened(connection, this.#scheme, () => this.#open.delete(opened));
    this.#open.add(opened);
    return opened;
  }

  #withRoom(): Opened | undefined {
    for (const opened of this.#open) if (opened.hasRoom) return opened;
    return undefined;
  }

  async #room(): Promise<Opened> {
    for (;;) {
      const opened = this.#withRoom();
      if (opened !== undefined) return opened;
      this.#opening ??= dialled(this.#dial)
        .then((connection) => this.offer(connection))
        .finally(() => {
          this.#opening = undefined;
        });
      const fresh = await this.#opening;
      if (fresh.hasRoom) return fresh;
      if (fresh.leaving)
        throw new Unsent(new Refusal("upstream_refused", "the upstream ended the connection"), true);
    }
  }

  async request(request: HttpClientRequest): Promise<HttpClientResponse> {
    const opened = await this.#room();
    opened.enter();
    try {
      if (request.upgrade !== undefined) await takesConnect(opened);
      return await ask(opened, this.#scheme, request);
    } catch (error) {
      if (error instanceof NotBegun) opened.leave();
      throw error;
    }
  }

  close(): void {
    for (const opened of this.#open) opened.close();
  }
}

/** No stream came about that would say when it is over. */
class NotBegun extends Refusal {}

async function takesConnect({ session, settled }: Opened): Promise<void> {
  let late: Deadline | undefined;
  const patience = new Promise<void>((resolve) => {
    late = deadline(settingsMs, resolve);
  });
  await Promise.race([settled, patience]);
  late?.cancel();
  if (session.remoteSettings?.enableConnectProtocol !== true)
    throw new NotBegun("upstream_refused", "the upstream takes no WebSocket over HTTP/2 (RFC 8441)");
}

/** Without the pseudo-fields. */
const plainFields = (headers: IncomingHttpHeaders): HttpFields =>
  Object.entries(headers).flatMap(([name, value]): [string, string][] => {
    if (name.startsWith(":") || value === undefined) return [];
    return Array.isArray(value) ? value.map((one): [string, string] => [name, one]) : [[name, String(value)]];
  });

function begun(session: ClientHttp2Session, scheme: string, request: HttpClientRequest): ClientHttp2Stream {
  const { upgrade, method, target, authority, fields, body } = request;
  try {
    return session.request(
      {
        ...joined(fields),
        ":method": upgrade === undefined ? method : "CONNECT",
        ...(upgrade === undefined ? {} : { ":protocol": upgrade }),
        ":path": target,
        ":authority": authority,
        ":scheme": scheme,
      },
      { endStream: body === null && upgrade === undefined, waitForTrailers: body !== null },
    );
  } catch (error) {
    throw new NotBegun("upstream_refused", String(error), { cause: error });
  }
}

const endOfStream = 1;

function ask(opened: Opened, scheme: string, request: HttpClientRequest): Promise<HttpClientResponse> {
  const { body, limits, signal, upgrade } = request;
  const stream = begun(opened.session, scheme, request);
  return new Promise((resolve, reject) => {
    let answered = false;
    let ended = false;
    let late: Deadline | undefined;
    let trailers: HttpFields = [];
    const aborted = (): void => stream.close(constants.NGHTTP2_CANCEL);
    signal.addEventListener("abort", aborted, { once: true });
    if (signal.aborted) aborted();
    stream.once("end", () => {
      ended = true;
    });
    stream.once("trailers", (headers: IncomingHttpHeaders) => {
      trailers = plainFields(headers);
    });
    const failed = (refusal: Refusal): void => {
      // RFC 9113 §8.7: such a stream was not processed at all.
      const unread = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
      reject(unread && !answered ? new Unsent(refusal, false) : refusal);
    };
    stream.once("close", () => {
      signal.removeEventListener("abort", aborted);
      late?.cancel();
      opened.leave();
      request.over?.();
      if (!answered)
        failed(new Refusal("upstream_refused", "the upstream ended the stream without a response"));
    });
    stream.on("error", (error: Error) => failed(refused(error)));
    stream.once("response", (headers: IncomingHttpHeaders & { ":status"?: number }, flags: number) => {
      answered = true;
      late?.cancel();
      const status = Number(headers[":status"]);
      const fields = plainFields(headers);
      if (upgrade !== undefined && status >= 200 && status < 300) {
        resolve({ status, fields, body: null, upgraded: new DuplexConnection(stream) });
        return;
      }
      const complete = (): boolean => ended && stream.rstCode === constants.NGHTTP2_NO_ERROR;
      const noBody = (flags & endOfStream) !== 0;
      if (noBody) stream.resume();
      resolve({
        status,
        fields,
        body: noBody ? null : new ResponseBody(stream, complete, limits?.silenceMs ?? null),
        trailers: () => trailers,
        upgraded: null,
      });
    });
    const sent = (): void => {
      if (answered || limits === undefined) return;
      const { answerMs } = limits;
      late = deadline(answerMs, () => {
        reject(new Refusal("idle_timeout", `no answer within ${answerMs} ms`));
        aborted();
      });
    };
    if (body === null) return sent();
    stream.once("wantTrailers", () => {
      try {
        stream.sendTrailers(joined(request.trailers?.() ?? []));
      } catch (error) {
        // Fields that HTTP/1.1 can carry and HTTP/2 can't.
        stream.destroy(refused(error as Error));
      }
    });
    void sendBody(request, stream, () => {
      stream.end();
      sent();
    });
  });
}
