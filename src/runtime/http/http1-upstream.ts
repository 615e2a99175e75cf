import { type Deadline, deadline } from "../../core/deadline.ts";
import { Refusal } from "../../errors.ts";
import type { HttpClientRequest, HttpClientResponse } from "../../http/exchange.ts";
import { WholeBody } from "../../http/whole-body.ts";
import type { Connection } from "../../types.ts";
import { ChunkedBody } from "../../wire/http1/chunked-body.ts";
import { parseResponseHead, type ResponseHead } from "../../wire/http1/head.ts";
import { HeadReader } from "../../wire/http1/head-reader.ts";
import { AnswerBody, type BodySource } from "./http1-answer-body.ts";
import { announcedLength, requestHead } from "./http1-request-head.ts";
import { sendBody } from "./http1-send-body.ts";
import { Intake } from "./intake.ts";
import { Outlet } from "./outlet.ts";
import { refused } from "./refused.ts";

/** Of an answer's head. */
const maxHeadBytes = 64 * 1024;

/** Heads before the answer's own (RFC 9110 §15.2): nobody has so much to say. */
const maxInterim = 32;

/** For an upstream that knows nothing of 100 (RFC 9110 §10.1.1). */
const continueMs = 1000;

/** A request, and who waits for its answer. */
export interface Asked {
  readonly request: HttpClientRequest;
  resolve(response: HttpClientResponse): void;
  reject(error: Error): void;
}

/** Who a connection belongs to. */
export interface Pool {
  /** It is free for the next request. */
  free(upstream: Http1Upstream): void;
  /** It takes no further request. */
  gone(upstream: Http1Upstream): void;
  /** It was kept from an earlier request, and the upstream closed it before it said a word to this one. */
  again(asked: Asked): void;
}

/** What may be asked again without harm when nobody can tell whether it was heard (RFC 9110 §9.2.2). */
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

const once = { once: true };
const nothing = new Uint8Array(0);

const broken = (): Refusal =>
  new Refusal("upstream_refused", "the upstream closed the connection without a response");
const cut = (): Refusal => new Refusal("upstream_refused", "the upstream cut its response");

/** A connection to an upstream in HTTP/1.1: one request at a time. */
export class Http1Upstream implements BodySource {
  /** When its last request was over. */
  idleSince = 0;

  readonly #pool: Pool;
  readonly #connection: Connection;
  readonly #intake: Intake;
  readonly #outlet: Outlet;
  readonly #heads: HeadReader<ResponseHead>;
  /** What comes next. `nothing`: whatever comes, nobody asked for it. */
  #next: "nothing" | "head" | "body" = "nothing";
  #gone = false;
  /** Whether it has answered a request before. */
  #used = false;

  // Of the request under way:
  #asked: Asked | null = null;
  /** Not all of it is out. */
  #sending = false;
  /** Tells whether its body is wanted, where it waits for that. */
  #told: ((wanted: boolean) => void) | null = null;
  /** Something of an answer has come. */
  #heard = false;
  #interim = 0;
  #answered = false;
  /** The connection can have another request behind this one. */
  #keeps = false;
  #body: AnswerBody | null = null;
  /** Of a body that is not in chunks: how much is still to come. */
  #left = 0;
  #chunks: ChunkedBody | null = null;
  #late: Deadline | undefined;

  constructor(connection: Connection, pool: Pool) {
    this.#pool = pool;
    this.#connection = connection;
    this.#outlet = new Outlet(connection, this.#broke);
    this.#intake = new Intake(connection, this.#take, this.#broke);
    this.#heads = new HeadReader(this.#parse, maxHeadBytes);
  }

  /** Once. */
  start(): void {
    this.#intake.start();
  }

  readonly #parse = (bytes: Uint8Array): ReturnType<typeof parseResponseHead> =>
    parseResponseHead(bytes, this.#asked?.request ?? { method: "GET" }, maxHeadBytes);

  /** Asks it, where it is free. What becomes of it `asked` and the pool are told. */
  ask(asked: Asked): void {
    const { request } = asked;
    const { body, signal } = request;
    if (this.#gone) return void asked.reject(broken());
    let head: string;
    let length: number | null;
    let whole: Uint8Array | null = null;
    try {
      length = announcedLength(request);
      if (body !== null && request.expectContinue !== true) whole = body.takeWhole?.() ?? null;
      // Trailers need chunks (RFC 9112 §7.1.2).
      if (whole !== null && (request.trailers?.() ?? []).length === 0) length ??= whole.length;
      head = requestHead(request, length);
    } catch (error) {
      this.#pool.free(this);
      return void asked.reject(refused(error as Error));
    }
    this.#asked = asked;
    this.#next = "head";
    this.#heard = false;
    this.#interim = 0;
    this.#answered = false;
    this.#keeps = true;
    signal.addEventListener("abort", this.#aborted, once);
    if (body === null) this.#outlet.writeText(head);
    else if (whole !== null && whole.length === length) this.#outlet.writeParts(head, whole, "");
    else {
      this.#sending = true;
      const taken = whole === null ? request : { ...request, body: new WholeBody(whole) };
      void this.#send(asked, head, length, taken);
      return;
    }
    this.#sent();
  }

  async #send(asked: Asked, head: string, length: number | null, request: HttpClientRequest): Promise<void> {
    const isOver = (): boolean => this.#asked !== asked;
    let unsent = head;
    try {
      if (request.expectContinue === true) {
        this.#outlet.writeText(head);
        unsent = "";
        if (!(await this.#wanted())) return;
      }
      await sendBody(this.#outlet, request, unsent, length, isOver);
      if (!isOver()) this.#sent();
    } catch (error) {
      if (!isOver()) this.#fail(refused(error as Error));
    }
  }

  /** Whether the upstream wants the body, or says nothing of it. */
  #wanted(): Promise<boolean> {
    return new Promise((resolve) => {
      const late = deadline(continueMs, () => this.#told?.(true));
      this.#told = (wanted) => {
        this.#told = null;
        late.cancel();
        resolve(wanted);
      };
    });
  }

  /** All of the request is out. */
  #sent(): void {
    this.#sending = false;
    if (this.#next === "nothing") return void this.#over();
    const limits = this.#asked?.request.limits;
    if (!this.#answered && limits !== undefined) this.#late = deadline(limits.answerMs, this.#tooLate);
  }

  readonly #tooLate = (): void => {
    const ms = this.#asked?.request.limits?.answerMs;
    this.#fail(new Refusal("idle_timeout", `no answer within ${ms} ms`));
  };

  readonly #aborted = (): void => this.#fail(new Refusal("client_closed", "the client went away"));

  readonly #take = (chunk: Uint8Array | null): void => {
    if (this.#gone) return;
    if (chunk === null) this.#ended();
    else if (this.#next === "body") this.#takeBody(chunk);
    else if (this.#next === "head") this.#takeHead(chunk);
    // Later it would be taken for the next answer.
    else this.#fail(new Refusal("upstream_refused", "the upstream said what nobody had asked"));
  };

  #ended(): void {
    if (this.#next === "body" && this.#left === Number.POSITIVE_INFINITY) return void this.#complete();
    this.#fail(this.#answered ? cut() : broken(), true);
  }

  readonly #broke = (error: Error): void => {
    if (!this.#gone) this.#fail(this.#answered ? cut() : refused(error), true);
  };

  #takeHead(chunk: Uint8Array): void {
    this.#heard = true;
    let parsed = this.#heads.read(chunk);
    for (;;) {
      if (parsed.kind === "more") return;
      if (parsed.kind === "no")
        return void this.#fail(
          new Refusal("upstream_refused", `the upstream's answer is none: ${parsed.detail}`),
        );
      const rest = this.#heads.bytes.subarray(parsed.used);
      const head = parsed.value;
      if (head.status >= 200 || head.status === 101) return void this.#answer(head, rest);
      if (++this.#interim > maxInterim)
        return void this.#fail(new Refusal("upstream_refused", "the upstream does not come to its answer"));
      if (head.status === 100) this.#told?.(true);
      if (rest.length === 0) return;
      parsed = this.#heads.read(rest);
    }
  }

  #answer({ status, fields, framing, keepAlive }: ResponseHead, rest: Uint8Array): void {
    const asked = this.#asked as Asked;
    if (status === 101) return void this.#switch(asked, fields, rest);
    this.#answered = true;
    this.#late?.cancel();
    this.#keeps = keepAlive;
    if (this.#told !== null) {
      // An answer without 100: nobody wants the body (RFC 9110 §10.1.1), and the upstream may still wait for it.
      this.#keeps = false;
      this.#sending = false;
      this.#told(false);
    }
    if (framing.kind === "none" || (framing.kind === "length" && framing.bytes <= rest.length)) {
      const bytes = framing.kind === "none" ? 0 : framing.bytes;
      const body = bytes === 0 ? null : new WholeBody(rest.length === bytes ? rest : rest.subarray(0, bytes));
      asked.resolve({ status, fields, body, upgraded: null });
      return void this.#complete(rest.length > bytes);
    }
    const body = new AnswerBody(this, asked.request.limits?.silenceMs ?? null);
    this.#body = body;
    this.#next = "body";
    if (framing.kind === "chunked") {
      const chunks = new ChunkedBody();
      this.#chunks = chunks;
      this.#left = 0;
      asked.resolve({ status, fields, body, trailers: () => chunks.trailers, upgraded: null });
    } else {
      this.#left = framing.kind === "length" ? framing.bytes : Number.POSITIVE_INFINITY;
      asked.resolve({ status, fields, body, upgraded: null });
    }
    if (rest.length > 0) this.#takeBody(rest);
  }

  #takeBody(chunk: Uint8Array): void {
    const body = this.#body as AnswerBody;
    if (this.#chunks === null) {
      if (chunk.length < this.#left) {
        this.#left -= chunk.length;
        return void body.add(chunk);
      }
      body.add(chunk.length === this.#left ? chunk : chunk.subarray(0, this.#left));
      return void this.#complete(chunk.length > this.#left);
    }
    const found = this.#chunks.feed(chunk);
    if (found.kind === "no")
      return void this.#fail(
        new Refusal("upstream_refused", `the upstream's answer is broken: ${found.detail}`),
      );
    for (const part of found.data) body.add(part);
    if (found.kind === "end") this.#complete(found.used < chunk.length);
  }

  /**
   * The answer is here.
   *
   * @param more whether something came behind it
   */
  #complete(more = false): void {
    if (more) this.#keeps = false;
    this.#next = "nothing";
    this.#body?.end();
    this.#body = null;
    this.#chunks = null;
    this.#intake.release();
    // Whoever has answered already may want the rest of what it answered all the same.
    if (!this.#sending || !this.#keeps) this.#over();
  }

  /** Neither of the two has anything more to say. */
  #over(): void {
    const request = this.#leaveAsked();
    this.#used = true;
    if (this.#keeps) this.#pool.free(this);
    else this.#close("close");
    request?.over?.();
  }

  #leaveAsked(): HttpClientRequest | undefined {
    const request = this.#asked?.request;
    this.#asked = null;
    this.#next = "nothing";
    this.#sending = false;
    // Large as it may be, it would wait with an idle connection.
    this.#heads.bytes = nothing;
    this.#late?.cancel();
    request?.signal.removeEventListener("abort", this.#aborted);
    return request;
  }

  #close(how: "close" | "reset"): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#outlet.gone();
    this.#connection.abort(how);
    this.#pool.gone(this);
  }

  /** @param closed whether the upstream did that, rather than that anybody had enough of it */
  #fail(error: Refusal, closed = false): void {
    if (this.#gone) return;
    const { request } = this.#asked ?? {};
    const asked = this.#asked;
    const body = this.#body;
    const again =
      closed && this.#used && !this.#heard && request?.body === null && idempotent.has(request.method);
    this.#body = null;
    this.#leaveAsked();
    this.#told?.(false);
    this.#close(asked === null && closed ? "close" : "reset");
    if (asked === null) return;
    if (again) return void this.#pool.again(asked);
    if (this.#answered) body?.cut(error);
    else asked.reject(error);
    asked.request.over?.();
  }

  /** The upstream has switched protocols: the connection is whoever's asked for that. */
  #switch(asked: Asked, fields: ResponseHead["fields"], rest: Uint8Array): void {
    if (asked.request.upgrade === undefined)
      return void this.#fail(new Refusal("upstream_refused", "the upstream switched protocols unasked"));
    this.#leaveAsked();
    this.#gone = true;
    this.#pool.gone(this);
    const { over } = asked.request;
    if (over !== undefined) void this.#connection.closed.then(over);
    asked.resolve({ status: 101, fields, body: null, upgraded: this.#intake.giveAway(rest) });
  }

  /** For nobody needs it. */
  close(): void {
    this.#fail(new Refusal("upstream_refused", "the connection to the upstream is closed"));
  }

  hold(): void {
    this.#intake.hold();
  }

  release(): void {
    this.#intake.release();
  }

  leave(): void {
    this.#body = null;
    this.#keeps = false;
    this.#over();
  }
}
