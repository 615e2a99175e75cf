import { isPushed } from "../core/evented.ts";
import { Refusal } from "../errors.ts";
import type { Connection, Endpoint, PushedConnection } from "../types.ts";
import { joined } from "../wire/joined.ts";
import {
  type FrameHeader,
  frame,
  maxControlBytes,
  maxHeaderBytes,
  type Opcode,
  opcodes,
  parseFrameHeader,
  putFrame,
  unmask,
} from "../wire/websocket.ts";

/** Well within the 60 seconds after which balancers close what is silent. */
const pingEveryMs = 20_000;
/** A peer that answers no ping for so long is gone. */
const silentMs = 3 * pingEveryMs;

/** How long a peer may take to hear a last word before the connection goes. */
const lastWordMs = 1000;

/** Status codes of a Close frame (RFC 6455 §7.4.1). */
const statuses = { normal: 1000, protocolError: 1002, unsupportedData: 1003 } as const;

const nothing = new Uint8Array(0);

/** What a relay hands over at once has room in it. */
const sharedBytes = 288 * 1024;
/** Where frames are put that are done with when they were pushed: one for all, as that is within a call. */
let shared = nothing;

/** The frame whose payload is being read. */
interface Current extends FrameHeader {
  /** Bytes of its payload seen so far. */
  readonly seen: number;
}

/**
 * A byte stream inside WebSocket messages (RFC 6455): binary ones, whose boundaries mean nothing. An empty message
 * ends its sender's half, which WebSocket itself has no word for; a Close frame ends both.
 */
export class WebSocketConnection implements Connection {
  readonly remote: Endpoint;
  readonly local: Endpoint;
  readonly closed: Promise<void>;
  bytesRead = 0;
  bytesWritten = 0;

  readonly #under: Connection;
  /** The same, where it takes bytes without waiting. */
  readonly #pushed: PushedConnection | null;
  #hasRoom: (() => void) | null = null;
  #gone = false;
  readonly #client: boolean;
  readonly #pings: ReturnType<typeof setInterval>;
  readonly #queue: Uint8Array[] = [];
  #buffer: Uint8Array = nothing;
  #current: Current | undefined;
  /** Payload bytes of the message so far. */
  #message = 0;
  #inMessage = false;
  #ended = false;
  #finished = false;
  #closeSent = false;
  #closeHeard = false;
  #aborted = false;
  #reading = false;
  /** Writes wait for each other: frames must not mix. */
  #writing: Promise<void> = Promise.resolve();
  #pendingWrites = 0;
  /** What the newest ping said, while its answer waits for its turn. */
  #pong: Uint8Array | undefined;
  #heard = performance.now();

  /**
   * @param under what is left of the connection after the upgrade
   * @param side whether we are the one that asked for it
   * @param remote whom the bytes come from, where a balancer stands between
   */
  constructor(under: Connection, side: "client" | "server", remote: Endpoint = under.remote) {
    this.#under = under;
    this.#client = side === "client";
    this.remote = remote;
    this.local = under.local;
    this.closed = under.closed;
    this.#pings = setInterval(() => this.#ping(), pingEveryMs);
    this.#pushed = isPushed(under) ? under : null;
    if (this.#pushed !== null) this.#pushed.drained = this.#drained;
    void under.closed.then(() => {
      clearInterval(this.#pings);
      this.#gone = true;
      this.#drained();
    });
  }

  readonly #drained = (): void => {
    const go = this.#hasRoom;
    this.#hasRoom = null;
    go?.();
  };

  #ping(): void {
    // Whoever has no room for our bytes has other things to answer than pings.
    if (this.#pendingWrites > 0) return;
    if (this.#reading && performance.now() - this.#heard > silentMs) this.abort("reset");
    else this.#send(opcodes.ping, []).catch(() => {});
  }

  #send(opcode: Opcode, parts: readonly Uint8Array[]): Promise<void> {
    const length = lengthOf(parts);
    const mask = this.#client ? nextMask() : null;
    const most = maxHeaderBytes + length;
    // Where others wait to be written, their turn is first.
    const pushed = this.#pendingWrites === 0 && most <= sharedBytes ? this.#pushed : null;
    if (pushed !== null) {
      if (this.#gone) return Promise.reject(new Error("connection closed"));
      if (shared.length === 0) shared = new Uint8Array(sharedBytes);
      const roomy = pushed.push(shared.subarray(0, putFrame(shared, opcode, parts, length, mask)));
      if (!pushed.took) shared = nothing;
      return roomy ? Promise.resolve() : this.#inTurn(this.#room());
    }
    // Made now: who wrote the bytes may use their buffer again.
    const bytes = new Uint8Array(most);
    const made = bytes.subarray(0, putFrame(bytes, opcode, parts, length, mask));
    return this.#inTurn(() => this.#under.write(made));
  }

  /** Begins to wait for room below, or the end of it all. */
  #room(): () => Promise<void> {
    const room = new Promise<void>((resolve, reject) => {
      this.#hasRoom = () => {
        if (this.#gone) reject(new Error("connection closed"));
        else resolve();
      };
    });
    return () => room;
  }

  #inTurn(write: () => Promise<void>): Promise<void> {
    this.#pendingWrites++;
    const sent = this.#writing.then(write);
    this.#writing = sent.catch(() => {});
    return sent.finally(() => {
      this.#pendingWrites--;
    });
  }

  /**
   * Answers a ping without waiting until the answer is out: whoever is slow to take what we send may be so because
   * it waits for us to read on. Where an answer is still waiting, it is for the newest ping alone (RFC 6455 §5.5.3).
   */
  #answer(ping: Uint8Array): void {
    const queued = this.#pong !== undefined;
    this.#pong = ping;
    if (queued) return;
    this.#inTurn(() => {
      const newest = frame(opcodes.pong, this.#pong ?? nothing, this.#client ? nextMask() : null);
      this.#pong = undefined;
      return this.#under.write(newest);
    }).catch(() => {});
  }

  async read(): Promise<Uint8Array | null> {
    const waiting = this.#queue.shift();
    if (waiting !== undefined) return waiting;
    if (this.#ended) return null;
    const payload = await this.#next();
    if (payload === null) {
      this.#ended = true;
      if (this.#finished) void this.#close();
      // Pings are still to be answered while our own half is open, and the peer's Close frame is to come.
      if (!this.#closeHeard) void this.#listenOn();
      return null;
    }
    this.bytesRead += payload.length;
    return payload;
  }

  /** The next bytes of the stream; `null` once the peer has ended its half. */
  async #next(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#current === undefined) {
        const head = await this.#frameHeader();
        if (head === null) return null;
        if (head.opcode >= opcodes.close) {
          if (await this.#control(head)) return null;
          continue;
        }
        this.#begin(head);
      }
      const payload = await this.#payload();
      if (payload === "end of stream") return null;
      if (payload !== null) return payload;
    }
  }

  /** More from below; false when there is no more. */
  async #fill(): Promise<boolean> {
    this.#reading = true;
    try {
      const chunk = await this.#under.read();
      this.#heard = performance.now();
      if (chunk === null) return false;
      this.#buffer = this.#buffer.length === 0 ? chunk : joined([this.#buffer, chunk]);
      return true;
    } finally {
      this.#reading = false;
    }
  }

  /** `null`: the peer is gone without a Close frame, which a stream that ended in order never is. */
  async #frameHeader(): Promise<FrameHeader | null> {
    for (;;) {
      const parsed = parseFrameHeader(this.#buffer);
      if (parsed.kind === "no") throw this.#wrong(parsed.detail);
      if (parsed.kind === "ok") {
        const { value } = parsed;
        if ((value.mask !== null) === this.#client)
          throw this.#wrong(
            this.#client ? "a server's frame with a mask" : "a client's frame without a mask",
          );
        const mask = value.mask?.slice() ?? null;
        this.#buffer = this.#buffer.subarray(parsed.used);
        return { ...value, mask };
      }
      if (!(await this.#fill())) throw this.#cut();
    }
  }

  #begin(head: FrameHeader): void {
    const continues = head.opcode === opcodes.continuation;
    if (head.opcode === opcodes.text)
      throw this.#wrong("a text message: expected binary ones", statuses.unsupportedData);
    if (continues !== this.#inMessage) throw this.#wrong("a message inside another, or the rest of none");
    if (!continues) this.#message = 0;
    this.#inMessage = true;
    this.#current = { ...head, seen: 0 };
  }

  /** What there is of the frame's payload; `null` when it was an empty part of a message. */
  async #payload(): Promise<Uint8Array | "end of stream" | null> {
    const current = this.#current;
    if (current === undefined) return null;
    if (current.length > 0 && this.#buffer.length === 0 && !(await this.#fill())) throw this.#cut();
    const part = this.#buffer.subarray(0, current.length - current.seen);
    this.#buffer = this.#buffer.subarray(part.length);
    if (current.mask !== null) unmask(part, current.mask, current.seen);
    this.#message += part.length;
    const seen = current.seen + part.length;
    if (seen < current.length) {
      this.#current = { ...current, seen };
      return part;
    }
    this.#current = undefined;
    if (current.final) this.#inMessage = false;
    if (current.final && this.#message === 0) return "end of stream";
    return part.length > 0 ? part : null;
  }

  /** Answers a control frame. True when it was a Close. */
  async #control(head: FrameHeader): Promise<boolean> {
    while (this.#buffer.length < head.length) if (!(await this.#fill())) throw this.#cut();
    const payload = this.#buffer.slice(0, Math.min(head.length, maxControlBytes));
    this.#buffer = this.#buffer.subarray(head.length);
    if (head.mask !== null) unmask(payload, head.mask, 0);
    if (head.opcode === opcodes.ping) this.#answer(payload);
    if (head.opcode !== opcodes.close) return false;
    this.#finished = true;
    this.#closeHeard = true;
    // Not waited for: there may never be room for it. Nothing comes behind a Close frame.
    void this.#close().then(() => this.abort());
    return true;
  }

  /** After the peer's half is over: control frames alone, until it is gone. */
  async #listenOn(): Promise<void> {
    try {
      for (;;) {
        const head = await this.#frameHeader();
        if (head === null || head.opcode < opcodes.close || (await this.#control(head))) break;
      }
    } catch {
      // Our own half says it by itself, when it is written to.
    }
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#queue.unshift(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#finished) return Promise.reject(new Error("connection closed"));
    // An empty message would say that this is the end.
    if (bytes.length === 0) return Promise.resolve();
    this.bytesWritten += bytes.length;
    return this.#send(opcodes.binary, [bytes]);
  }

  writev(parts: readonly Uint8Array[]): Promise<void> {
    const length = lengthOf(parts);
    if (this.#finished || length === 0) return this.write(nothing);
    this.bytesWritten += length;
    return this.#send(opcodes.binary, parts);
  }

  async closeWrite(): Promise<void> {
    if (this.#finished) return;
    this.#finished = true;
    try {
      await this.#send(opcodes.binary, []);
      if (this.#ended) await this.#close();
    } catch {
      // Whoever is gone needs no goodbye.
    }
  }

  /** Both halves are done with. */
  async #close(): Promise<void> {
    try {
      await this.#sayClose(statuses.normal);
      await this.#under.closeWrite();
    } catch {
      // As above.
    }
  }

  /** Once at most. */
  async #sayClose(status: number): Promise<void> {
    if (this.#closeSent) return;
    this.#closeSent = true;
    await this.#send(opcodes.close, [Uint8Array.of(status >> 8, status & 255)]);
  }

  abort(how: "close" | "reset" = "close"): void {
    if (this.#aborted) return;
    this.#aborted = true;
    clearInterval(this.#pings);
    if (how === "reset" || this.#pendingWrites === 0) {
      this.#under.abort(how);
      return;
    }
    // The last frames may still be on their way: for as long as it is worth while to wait.
    const late = setTimeout(() => this.#under.abort(), lastWordMs);
    void this.#writing.then(() => {
      clearTimeout(late);
      this.#under.abort();
    });
  }

  /** The peer breaks the protocol, is told so, and heard no more. */
  #wrong(detail: string, status: number = statuses.protocolError): Refusal {
    this.#sayClose(status).catch(() => {});
    this.abort();
    return new Refusal("protocol_error", `WebSocket: ${detail}`);
  }

  #cut(): Error {
    this.abort("reset");
    return new Error("connection closed");
  }
}

/** Random bytes for masks, in stock: asking for four at a time costs more than to use them. */
const masks = new Uint8Array(1024);
let masksUsed = masks.length;

function nextMask(): Uint8Array {
  if (masksUsed === masks.length) {
    crypto.getRandomValues(masks);
    masksUsed = 0;
  }
  masksUsed += 4;
  return masks.slice(masksUsed - 4, masksUsed);
}

const lengthOf = (parts: readonly Uint8Array[]): number => parts.reduce((sum, { length }) => sum + length, 0);
