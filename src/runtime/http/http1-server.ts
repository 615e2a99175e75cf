import { type Deadline, deadline } from "../../core/deadline.ts";
import { Refusal } from "../../errors.ts";
import type { Cancellation, HttpServing } from "../../http/exchange.ts";
import type { Connection, ServingLimits } from "../../types.ts";
import { parseRequestHead, type RequestHead } from "../../wire/http1/head.ts";
import { HeadReader } from "../../wire/http1/head-reader.ts";
import { IdleWatch } from "../relay.ts";
import { type Carrier, Http1Exchange } from "./http1-exchange.ts";
import { Http1RequestBody, highWater } from "./http1-request-body.ts";
import { maxHeaderBytes } from "./incoming.ts";
import { Intake } from "./intake.ts";
import { Outlet } from "./outlet.ts";
import { internalError, lingerMs, longestHeadMs, quietMs } from "./served.ts";

/** Of what comes behind a request that is not answered yet, until the client is made to wait. */
const readAhead = 4 * 1024;

const parse = (bytes: Uint8Array) => parseRequestHead(bytes, maxHeaderBytes);
const nothing = new Uint8Array(0);

const short = (status: string): string =>
  `HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;

/** Serves HTTP/1.1 on a connection until it closes. */
export async function serveHttp1(
  connection: Connection,
  serving: HttpServing,
  draining: Cancellation,
  limits: ServingLimits,
): Promise<void> {
  await new Http1Server(connection, serving, draining, limits).over;
}

/**
 * One connection. A request is read once the answer to the one before is out, so that one is under way at a time and
 * those behind it are bytes, of which few are taken.
 */
class Http1Server implements Carrier {
  readonly over: Promise<void>;
  readonly outlet: Outlet;
  readonly draining: Cancellation;
  gone = false;
  readonly #connection: Connection;
  readonly #serving: HttpServing;
  readonly #headMs: number;
  readonly #intake: Intake;
  readonly #watch: IdleWatch;
  readonly #heads = new HeadReader<RequestHead>(parse, maxHeaderBytes);
  /** Runs while a request's head is to come, or to end. */
  #head: Deadline | undefined;
  /** Runs while the connection is to go, and has not been told so; then while its peer may hear its last word. */
  #quiet: Deadline | undefined;
  /** Under way. */
  #exchange: Http1Exchange | null = null;
  /** Not all here: of the request under way, or of one that was answered before its end. */
  #body: Http1RequestBody | null = null;
  /** What came behind the request under way. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #held = false;
  /** The peer has closed its sending half. */
  #ended = false;
  /** No further request is heard. */
  #closing = false;
  #idle = false;

  constructor(connection: Connection, serving: HttpServing, draining: Cancellation, limits: ServingLimits) {
    this.#connection = connection;
    this.#serving = serving;
    this.draining = draining;
    this.#headMs = limits.headMs ?? longestHeadMs;
    this.#watch = new IdleWatch(
      connection,
      connection,
      limits,
      this.#late,
      () => serving.mayBeSilent?.() ?? false,
    );
    this.outlet = new Outlet(connection, this.#broke);
    this.#intake = new Intake(connection, this.#take, this.#broke);
    this.over = connection.closed.then(this.#closed);
    this.#head = deadline(this.#headMs, this.#late);
    draining.addEventListener("abort", this.#drain, { once: true });
    this.#intake.start();
    if (draining.aborted) this.#drain();
  }

  readonly #late = (): void => {
    this.#idle = true;
    this.#connection.abort();
  };

  readonly #broke = (): void => this.#connection.abort();

  readonly #closed = (): void => {
    this.gone = true;
    this.#watch.stop();
    this.#head?.cancel();
    this.#quiet?.cancel();
    this.draining.removeEventListener("abort", this.#drain);
    this.outlet.gone();
    this.#waiting = [];
    this.#exchange?.body?.broke();
    this.#exchange?.signal.abort();
    if (this.#idle)
      throw new Refusal("idle_timeout", "no byte either way, or no end of a request's head, for too long");
  };

  readonly #take = (chunk: Uint8Array | null): void => {
    if (this.gone) return;
    if (chunk === null) this.#peerEnded();
    else if (this.#closing) return;
    else if (this.#waiting.length > 0 || (this.#exchange !== null && this.#body === null)) {
      this.#waiting.push(chunk);
      this.#waitingBytes += chunk.length;
      this.#pace();
    } else this.#read(chunk);
  };

  #peerEnded(): void {
    this.#ended = true;
    this.#watch.halfClosed();
    // A request that will never be whole, or a last word that was heard.
    if (this.#closing || (this.#exchange !== null && this.#body !== null)) this.#connection.abort();
    else if (this.#exchange === null) this.#endIfDone();
  }

  #read(chunk: Uint8Array): void {
    let rest = chunk;
    while (rest.length > 0 && !this.#closing) {
      if (this.#body !== null) {
        const used = this.#feed(this.#body, rest);
        if (used === null) {
          // In the middle of a request's answer there is no place for one of its own.
          this.#connection.abort("reset");
          return;
        }
        rest = rest.subarray(used);
      } else if (this.#exchange === null) {
        this.#parse(rest);
        break;
      } else {
        this.#wait(rest);
        break;
      }
    }
    this.#pace();
  }

  #wait(bytes: Uint8Array): void {
    this.#waiting.unshift(bytes);
    this.#waitingBytes += bytes.length;
  }

  #feed(body: Http1RequestBody, bytes: Uint8Array): number | null {
    const used = body.feed(bytes);
    if (body.complete) {
      this.#body = null;
      if (this.#exchange === null) {
        this.#headIsHere();
        this.#endIfDone();
      }
    } else if (this.#exchange === null) this.#head ??= deadline(this.#headMs, this.#late);
    return used;
  }

  #parse(bytes: Uint8Array): void {
    const parsed = this.#heads.read(bytes);
    if (parsed.kind === "ok") {
      const { bytes: all } = this.#heads;
      // Large as it may be, it would wait with an idle connection.
      this.#heads.bytes = nothing;
      this.#headIsHere();
      this.#quiet?.cancel();
      this.#begin(parsed.value, parsed.used === all.length ? nothing : all.subarray(parsed.used));
    } else if (parsed.kind === "more") this.#head ??= deadline(this.#headMs, this.#late);
    else
      void this.#endGently(
        short(parsed.code === "too_large" ? "431 Request Header Fields Too Large" : "400 Bad Request"),
      );
  }

  #headIsHere(): void {
    this.#head?.cancel();
    this.#head = undefined;
  }

  /** @param behind what came with it, which is here before anybody hears of it */
  #begin(head: RequestHead, behind: Uint8Array): void {
    // Parsers know more versions than those whose framing is this one (RFC 9112 §2.3).
    if (head.version !== "1.1" && head.version !== "1.0")
      return void this.#endGently(short("505 HTTP Version Not Supported"));
    // This is no forward proxy.
    if (head.method === "CONNECT") return void this.#endGently(short("405 Method Not Allowed"));
    // RFC 9112 §6.3: a request that announces no body has none, whatever its method. One to switch protocols has none.
    const body = head.framing.kind === "none" || head.upgrade ? null : new Http1RequestBody(head.framing);
    const waits = expectation(head);
    if (waits === "other") return void this.#endGently(short("417 Expectation Failed"));
    const used = body === null ? 0 : body.feed(behind);
    if (used === null) return void this.#endGently(short("400 Bad Request"));
    if (used < behind.length) this.#wait(behind.subarray(used));
    if (body !== null) body.taken = this.#pace;
    const exchange = new Http1Exchange(this, head, body, waits === "continue");
    this.#exchange = exchange;
    this.#body = body?.complete === false ? body : null;
    this.#serving.handle(exchange).then(
      () => this.#finished(exchange),
      () => this.#finished(exchange),
    );
  }

  #finished(exchange: Http1Exchange): void {
    if (this.gone) return;
    if (exchange.answered === "upgraded") {
      this.#connection.abort();
      return;
    }
    if (exchange.answered === "no") void exchange.respond(internalError);
    const { writing } = exchange;
    if (writing !== null) {
      void writing.then(() => this.#finished(exchange));
      return;
    }
    this.#exchange = null;
    if (exchange.last) return void this.#endGently();
    // What nobody took of the body goes past: the next request comes behind it.
    exchange.body?.answered();
    for (let chunk = this.#next(); chunk !== undefined; chunk = this.#next()) this.#read(chunk);
    this.#pace();
    if (this.#exchange === null) this.#endIfDone();
  }

  #next(): Uint8Array | undefined {
    if (this.#closing || (this.#exchange !== null && this.#body === null)) return undefined;
    const chunk = this.#waiting.shift();
    this.#waitingBytes -= chunk?.length ?? 0;
    return chunk;
  }

  /** Makes the client wait while more is here than is taken. */
  readonly #pace = (): void => {
    const full =
      !this.#closing && (this.#waitingBytes >= readAhead || (this.#exchange?.body?.queued ?? 0) >= highWater);
    if (full === this.#held) return;
    this.#held = full;
    if (full) this.#intake.hold();
    else this.#intake.release();
  };

  readonly #drain = (): void => this.#endIfDone();

  /**
   * Ends a connection that has nothing under way and nothing to expect. While the router drains, one whose client was
   * not told in an answer (`Connection: close`) stays a moment: a request may be on its way, and its answer tells.
   */
  #endIfDone(): void {
    if (this.#exchange !== null || this.#closing) return;
    if (this.#ended) void this.#endGently();
    else if (this.draining.aborted) {
      this.#quiet?.cancel();
      this.#quiet = deadline(quietMs, () => {
        if (this.#exchange === null) void this.#endGently();
      });
    }
  }

  /**
   * Ends the connection so that the peer hears the last word: closing while bytes are unread would make the kernel
   * send a reset, which throws the last word away at the other end.
   */
  async #endGently(lastWord?: string): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    this.#headIsHere();
    this.#quiet?.cancel();
    this.#waiting = [];
    if (lastWord !== undefined) this.outlet.writeText(lastWord);
    await this.outlet.room();
    if (this.gone) return;
    await this.#connection.closeWrite().catch(this.#broke);
    if (this.gone) return;
    if (this.#ended) return this.#connection.abort();
    this.#quiet = deadline(lingerMs, () => this.#connection.abort());
    this.#pace();
  }

  cut(): void {
    this.#connection.abort("reset");
  }

  giveAway(): Connection {
    const rest = this.#waiting.length < 2 ? (this.#waiting[0] ?? nothing) : Buffer.concat(this.#waiting);
    this.#waiting = [];
    return this.#intake.giveAway(rest);
  }
}

/** RFC 9110 §10.1.1; HTTP/1.0 knows nothing of it. */
function expectation({ version, fields }: RequestHead): "none" | "continue" | "other" {
  if (version === "1.0") return "none";
  let found: "none" | "continue" = "none";
  for (const [name, value] of fields) {
    if (name !== "expect") continue;
    if (value.toLowerCase() !== "100-continue") return "other";
    found = "continue";
  }
  return found;
}
