import { STATUS_CODES } from "node:http";
import { Gone } from "../../http/cancellation.ts";
import type {
  Cancellation,
  Field,
  HttpBody,
  HttpExchange,
  HttpFields,
  HttpRequest,
  HttpResponse,
} from "../../http/exchange.ts";
import type { Connection } from "../../types.ts";
import type { RequestHead } from "../../wire/http1/head.ts";
import { headText } from "../../wire/http1/head-text.ts";
import type { Http1RequestBody } from "./http1-request-body.ts";
import type { Outlet } from "./outlet.ts";

/** What an exchange needs of its connection. */
export interface Carrier {
  readonly outlet: Outlet;
  readonly draining: Cancellation;
  readonly gone: boolean;
  /** Cuts it, so that nothing on it looks complete. */
  cut(): void;
  /** Gives it away, with what came behind the request. */
  giveAway(): Connection;
}

const written = Promise.resolve();
const trailersToken = /(^|,)\s*trailers\s*(,|$)/i;
const closeToken = /(^|,)\s*close\s*(,|$)/i;

/** For this hop only, and ours to say. */
const ours: ReadonlySet<string> = new Set(["connection", "keep-alive", "transfer-encoding"]);

const closes: Field = ["connection", "close"];
const keepsAlive: Field = ["connection", "keep-alive"];
const inChunks: Field = ["transfer-encoding", "chunked"];
const isEmpty: Field = ["content-length", "0"];

const statusLines = new Map<number, string>();
function statusLine(status: number): string {
  let line = statusLines.get(status);
  if (line !== undefined) return line;
  if (!Number.isInteger(status) || status < 200 || status > 999)
    throw new TypeError(`a response with status ${status}`);
  line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`;
  statusLines.set(status, line);
  return line;
}

let today: Field = ["date", ""];
let second = 0;
/** The time to the second (RFC 9110 §6.6.1). */
function date(): Field {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    today = ["date", new Date(now * 1000).toUTCString()];
  }
  return today;
}

/** One request on an HTTP/1.1 connection, and the answer to it. */
export class Http1Exchange implements HttpExchange {
  readonly request: HttpRequest;
  readonly signal = new Gone();
  readonly body: Http1RequestBody | null;
  /** The head of an answer is on its way, or the connection has switched protocols. */
  answered: "no" | "responded" | "upgraded" = "no";
  /** The answer goes out part by part, until then. */
  writing: Promise<void> | null = null;
  /** Nothing is read behind it. */
  last: boolean;
  readonly #carrier: Carrier;
  readonly #upgrade: boolean;
  readonly #waits: boolean;
  #takesTrailers = false;

  /** @param waits the client sends its body once it is told to */
  constructor(carrier: Carrier, head: RequestHead, body: Http1RequestBody | null, waits: boolean) {
    const { version, fields } = head;
    this.#carrier = carrier;
    this.#upgrade = head.upgrade;
    this.#waits = waits;
    this.body = body;
    this.last = !head.keepAlive || head.upgrade;
    let authority: string | null = null;
    for (const [name, value] of fields) {
      if (name === "host") authority = value;
      else if (name === "te") this.#takesTrailers ||= trailersToken.test(value);
    }
    this.request = {
      method: head.method,
      target: head.target,
      authority,
      version: version === "1.0" ? "1.0" : "1.1",
      fields,
      body,
      // Only chunks leave room for any (RFC 9112 §7.1.2).
      ...(body !== null && head.framing.kind === "chunked" ? { trailers: () => body.trailers } : {}),
    };
    if (waits && body !== null) body.wanted = this.#goOn;
  }

  readonly #goOn = (): void => {
    if (this.answered === "no" && this.body?.complete === false)
      this.#carrier.outlet.writeText("HTTP/1.1 100 Continue\r\n\r\n");
  };

  readonly respond = (response: HttpResponse): Promise<void> => {
    const { outlet } = this.#carrier;
    if (this.answered !== "no" || this.#carrier.gone) return written;
    const { status, body } = response;
    const bodiless = this.request.method === "HEAD" || status === 204 || status === 304;
    const whole =
      body === null || bodiless || (this.#takesTrailers && response.trailers !== undefined)
        ? null
        : (body.takeWhole?.() ?? null);
    const { fields, length } = this.#fields(response, bodiless, whole);
    const head = headText(statusLine(status), fields);
    this.answered = "responded";
    if (body === null || bodiless) {
      if (body !== null) leave(body);
      outlet.writeText(head);
      // Announced, and not there.
      if (!bodiless && length !== null && length > 0) this.#carrier.cut();
    } else if (whole !== null) {
      outlet.writeParts(head, whole, "");
      if (whole.length !== length) this.#carrier.cut();
    } else {
      this.writing = this.#stream(head, response, body, length).finally(() => {
        this.writing = null;
      });
      return this.writing;
    }
    return outlet.room() ?? written;
  };

  /** What goes out as fields, and the length they announce; `null`: none. */
  #fields(
    { status, fields, body, last }: HttpResponse,
    bodiless: boolean,
    whole: Uint8Array | null,
  ): { fields: HttpFields; length: number | null } {
    // Nobody has told the client to send its body, so that it may or may not come: no request can be found behind it.
    const unsaid = this.#waits && this.body !== null && !this.body.begun;
    let close = this.last || unsaid || last === true || this.#carrier.draining.aborted;
    let length: number | null = null;
    let dated = false;
    const kept: Field[] = [];
    for (const field of fields) {
      const [name, value] = field;
      if (ours.has(name)) {
        close ||= name === "connection" && closeToken.test(value);
        continue;
      }
      if (name === "content-length") {
        // 204 has none (RFC 9110 §8.6).
        if (length !== null || status === 204) continue;
        length = Number(value);
      } else dated ||= name === "date";
      kept.push(field);
    }
    if (!dated) kept.push(date());
    const old = this.request.version === "1.0";
    if (length === null && !bodiless) {
      if (body === null) kept.push(isEmpty);
      else if (whole !== null) {
        length = whole.length;
        kept.push(["content-length", String(length)]);
      } else if (old) close = true;
      else kept.push(inChunks);
    }
    kept.push(close ? closes : keepsAlive);
    this.last = close;
    return { fields: kept, length };
  }

  async #stream(text: string, response: HttpResponse, body: HttpBody, length: number | null): Promise<void> {
    const { outlet } = this.#carrier;
    const chunked = length === null && this.request.version !== "1.0";
    let head = text;
    // A stream that says nothing for now has begun all the same: its head must not wait for the first word.
    const patience = setImmediate(() => {
      outlet.writeText(head);
      head = "";
    });
    let sent = 0;
    try {
      for await (const part of body) {
        if (head !== "") clearImmediate(patience);
        if (this.#carrier.gone) return;
        // More than was announced is nobody's.
        const chunk = length !== null && part.length > length - sent ? part.subarray(0, length - sent) : part;
        if (chunk.length === 0) continue;
        sent += chunk.length;
        if (chunked) outlet.writeParts(`${head}${chunk.length.toString(16)}\r\n`, chunk, "\r\n");
        else outlet.writeParts(head, chunk, "");
        head = "";
        const room = outlet.room();
        if (room !== null) await room;
      }
      if (this.#carrier.gone) return;
      if (length !== null && sent !== length) return this.#carrier.cut();
      if (chunked) head += headText("0", this.#takesTrailers ? (response.trailers?.() ?? []) : []);
    } catch {
      // The source broke, or what it has behind it is none: what the client has must not look complete.
      return this.#carrier.cut();
    } finally {
      clearImmediate(patience);
    }
    if (head !== "") outlet.writeText(head);
    await outlet.room();
  }

  upgrade(fields: HttpFields): Connection {
    if (!this.#upgrade || this.answered !== "no") throw new TypeError("not a request to switch protocols");
    const head = headText("HTTP/1.1 101 Switching Protocols", fields);
    this.answered = "upgraded";
    this.#carrier.outlet.writeText(head);
    return this.#carrier.giveAway();
  }
}

/** Nobody takes it. */
function leave(body: HttpBody): void {
  body[Symbol.asyncIterator]()
    .return?.()
    .catch(() => {});
}
