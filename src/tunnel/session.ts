import { isEvented } from "../core/evented.ts";
import { Refusal } from "../errors.ts";
import type { Connection } from "../types.ts";
import { type FrameHeader, frameFlags, frameTypes, goAwayCodes, headerBytes } from "../wire/yamux.ts";
import { FrameReader } from "./frame-reader.ts";
import { Outbox } from "./outbox.ts";
import { type StreamHost, streamReset, TunnelStream } from "./stream.ts";

export interface SessionOptions {
  /** Whether we dialled: whose streams have odd numbers (yamux, § StreamID). */
  readonly dialled: boolean;
  /** Streams open at once, whoever opened them. */
  readonly maxStreams: number;
  /** Takes a stream that the peer opens; `null`: it may open none. */
  readonly accept: ((stream: TunnelStream) => void) | null;
  /** The peer asks for no more streams on this session. */
  readonly goneAway?: () => void;
  /** What a stream may send before it hears how much more. Both sides must have the same. */
  readonly window?: number;
  /** Well within the 60 seconds after which balancers close what is silent. */
  readonly pingEveryMs?: number;
  /** A peer that has said nothing for so long, asked or not, is gone. */
  readonly silentMs?: number;
}

/** Both sides of a tunnel begin with this. */
export const firstWindow = 64 * 1024;
const largestWindow = 4 * 1024 * 1024;
/** What all streams of a session may have beyond their first window. */
const growthBudget = 32 * 1024 * 1024;
/** A window that was used up faster than this held its stream back. */
const leastGrowMs = 10;

/** Streams that were refused, and whose refusal has not gone out: more is a flood. */
const maxRefused = 256;
/** A turn needs no more: a window's update, an end, and a little payload. */
const turnBytes = 2 * headerBytes + 256;
/** How long a last word may take to get out. */
const lastWordMs = 1000;

/**
 * Many streams over one connection, by yamux. Each has its own windows, and they take turns, so that neither one that
 * nobody reads nor one that sends a lot holds up the others.
 */
export class TunnelSession implements StreamHost {
  readonly closed: Promise<void>;
  readonly outbox: Outbox;
  /** Round trip, milliseconds, as last measured. */
  rttMs = 0;

  readonly #under: Connection;
  readonly #options: SessionOptions;
  readonly #window: number;
  readonly #reader: FrameReader;
  readonly #streams = new Map<number, TunnelStream>();
  /** Those that have something to send, in the order of their turns. */
  readonly #ring = new Set<TunnelStream>();
  readonly #refused: number[] = [];
  readonly #timer: ReturnType<typeof setInterval>;
  #settle: () => void = () => {};
  readonly #onEmpty: (() => void)[] = [];
  #target: TunnelStream | undefined;
  #nextId: number;
  #lastPeerId = 0;
  #growth = growthBudget;
  #scheduled = false;
  #over = false;
  #failure: Refusal | undefined;
  #pong: number | null = null;
  #pingDue = false;
  #ping = 0;
  #pingSent = 0;
  #pingOut = false;
  #heard = performance.now();
  #goAwayDue: number | null = null;
  #goAwaySaid = false;
  #goAwayHeard = false;

  constructor(under: Connection, options: SessionOptions) {
    this.#under = under;
    this.#options = options;
    this.#window = options.window ?? firstWindow;
    this.#nextId = options.dialled ? 1 : 2;
    this.#reader = new FrameReader(this);
    this.outbox = new Outbox(
      under,
      () => this.#pump(),
      () => this.#fail(new Refusal("client_closed", "the connection broke")),
    );
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    const { pingEveryMs = 20_000, silentMs = 60_000 } = options;
    this.#timer = setInterval(() => this.#look(pingEveryMs, silentMs), pingEveryMs / 4);
    this.#pingDue = true;
    this.#schedule();
    void this.#listen();
    void under.closed.then(() => this.#fail(new Refusal("client_closed", "the connection was closed")));
  }

  /** Why it ended, where that was not in good order. */
  get failure(): Refusal | undefined {
    return this.#failure;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Milliseconds since the peer was last heard. */
  get silence(): number {
    return performance.now() - this.#heard;
  }

  /** Whether a stream may be opened. */
  get isOpen(): boolean {
    return !this.#over && !this.#goAwayHeard && this.#nextId <= 0xffff_ffff;
  }

  get isFull(): boolean {
    return this.#streams.size >= this.#options.maxStreams;
  }

  /** A new stream, of which the peer hears with its first bytes. Throws a `Refusal` where there is no room for it. */
  open(): TunnelStream {
    if (!this.isOpen) throw new Refusal("upstream_unreachable", "the session takes no new streams");
    if (this.isFull)
      throw new Refusal("limit_reached", `${this.#options.maxStreams} streams are open on the session`);
    const stream = new TunnelStream(this, this.#nextId, true, this.#window, this.#under);
    this.#nextId += 2;
    this.#streams.set(stream.id, stream);
    return stream;
  }

  /** Calls this whenever no stream is open: at once, where none is. */
  whenEmpty(call: () => void): void {
    this.#onEmpty.push(call);
    if (this.#streams.size === 0) call();
  }

  /** Asks the peer to open no more streams; those that are open go on. */
  goAway(code: number = goAwayCodes.normal): void {
    if (this.#goAwaySaid) return;
    this.#goAwaySaid = true;
    this.#goAwayDue = code;
    this.#schedule();
  }

  /** Ends it in good order, once what is on its way is out. Streams that are open are cut. */
  close(): void {
    this.#end(undefined);
  }

  #end(failure: Refusal | undefined): void {
    if (this.#over) return;
    this.#failure = failure;
    this.goAway(failure?.reason === "protocol_error" ? goAwayCodes.protocolError : goAwayCodes.normal);
    if (!this.outbox.full) this.#pump();
    this.#over = true;
    clearInterval(this.#timer);
    for (const stream of this.#streams.values()) stream.cut(streamReset);
    this.#ring.clear();
    const late = setTimeout(() => this.#under.abort(), lastWordMs);
    void this.#under.closeWrite().catch(() => {});
    void this.#under.closed.then(() => clearTimeout(late));
    this.#settle();
  }

  #fail(failure: Refusal): void {
    this.#end(failure);
    this.#under.abort();
  }

  #wrong(detail: string): void {
    this.#end(new Refusal("protocol_error", `tunnel: ${detail}`));
  }

  #look(pingEveryMs: number, silentMs: number): void {
    const now = performance.now();
    if (now - this.#heard > silentMs) {
      this.#fail(new Refusal("idle_timeout", `nothing was heard for ${Math.round(silentMs / 1000)} s`));
    } else if (now - this.#pingSent >= pingEveryMs) {
      this.#pingDue = true;
      this.#schedule();
    }
  }

  // What comes in.

  async #listen(): Promise<void> {
    const under = this.#under;
    const take = (chunk: Uint8Array | null): boolean => {
      if (this.#over) return false;
      if (chunk === null) {
        // Whoever goes away says so first, and has no streams by then.
        if (this.#goAwayHeard && this.size === 0) this.#end(undefined);
        else this.#fail(new Refusal("client_closed", "the peer closed the connection"));
        return false;
      }
      this.#heard = performance.now();
      try {
        return this.#reader.push(chunk);
      } catch (error) {
        this.#wrong(error instanceof Error ? error.message : String(error));
        return false;
      }
    };
    if (isEvented(under)) {
      under.pipeTo(take);
      return;
    }
    try {
      while (!this.#over) {
        const chunk = await under.read();
        take(chunk);
        if (chunk === null) return;
      }
    } catch {
      this.#fail(new Refusal("client_closed", "the connection broke"));
    }
  }

  begin(header: FrameHeader): number {
    const { type, flags, stream: id, length } = header;
    this.#target = undefined;
    if (type !== frameTypes.data && type !== frameTypes.windowUpdate) return 0;
    if ((flags & frameFlags.syn) !== 0) this.#welcome(id);
    const stream = this.#streams.get(id);
    if (stream === undefined) this.#mustBeOver(id);
    this.#target = stream;
    if (type === frameTypes.windowUpdate) {
      if (stream?.widen(length) === false) throw new Error(`stream ${id} has a window beyond all bounds`);
      return 0;
    }
    if (stream !== undefined && length > stream.credit)
      throw new Error(`${length} bytes on stream ${id}, whose window has ${stream.credit}`);
    // To one that is over no more can be on its way than its window had.
    if (stream === undefined && length > largestWindow)
      throw new Error(`${length} bytes on a stream that is over`);
    return length;
  }

  payload(part: Uint8Array, of: Uint8Array): boolean {
    return this.#target?.receive(part, of) ?? true;
  }

  end({ type, flags, length }: FrameHeader): void {
    if (type === frameTypes.ping) this.#pinged(flags, length);
    else if (type === frameTypes.goAway) this.#wentAway(length);
    else {
      const target = this.#target;
      if ((flags & frameFlags.rst) !== 0) target?.cut(streamReset);
      else if ((flags & frameFlags.fin) !== 0) target?.end();
    }
  }

  #welcome(id: number): void {
    const { accept, dialled, maxStreams } = this.#options;
    if (accept === null) throw new Error("the peer opens a stream, which is not for it to do");
    if ((id % 2 === 1) === dialled || id <= this.#lastPeerId)
      throw new Error(`stream ${id} is opened, which is no new one of the peer's`);
    this.#lastPeerId = id;
    // Asked for no more, the peer may have opened one before it heard: that one is still welcome.
    if (this.#streams.size >= maxStreams) {
      if (this.#refused.length >= maxRefused) throw new Error("a flood of streams");
      this.#refused.push(id);
      this.#schedule();
      return;
    }
    const stream = new TunnelStream(this, id, false, this.#window, this.#under);
    this.#streams.set(id, stream);
    accept(stream);
  }

  /** A late word on a stream that is over means nothing; on one that never was it is a fault. */
  #mustBeOver(id: number): void {
    const ours = (id % 2 === 1) === this.#options.dialled;
    if (ours ? id >= this.#nextId : id > this.#lastPeerId) throw new Error(`stream ${id} was never opened`);
  }

  #pinged(flags: number, value: number): void {
    if ((flags & frameFlags.syn) !== 0) {
      // Where an answer waits still, it is for the newest alone: pings can't pile up.
      this.#pong = value;
      this.#schedule();
    } else if (this.#pingOut && value === this.#ping) {
      this.#pingOut = false;
      this.rttMs = performance.now() - this.#pingSent;
    }
  }

  #wentAway(code: number): void {
    if (code !== goAwayCodes.normal) {
      this.#end(new Refusal("protocol_error", `the peer goes away with code ${code}`));
      return;
    }
    if (this.#goAwayHeard) return;
    this.#goAwayHeard = true;
    this.#options.goneAway?.();
  }

  // What goes out.

  get isFree(): boolean {
    return this.#ring.size === 0;
  }

  want(stream: TunnelStream): void {
    if (this.#over) return;
    this.#ring.add(stream);
    this.#schedule();
  }

  filled(): void {
    if (this.outbox.room > turnBytes || this.outbox.full) this.#schedule();
    else this.#pump();
  }

  /** Not at once: what else comes in this turn of the event loop goes out with it. */
  #schedule(): void {
    if (this.#scheduled || this.#over || this.outbox.full) return;
    this.#scheduled = true;
    setImmediate(this.#onTurn);
  }

  readonly #onTurn = (): void => {
    this.#scheduled = false;
    this.#pump();
  };

  #pump(): void {
    const { outbox } = this;
    while (!this.#over && !outbox.full) {
      this.#fill();
      if (outbox.isEmpty) return;
      outbox.flush();
    }
  }

  #fill(): void {
    const { outbox } = this;
    this.#fillOwn();
    for (const stream of this.#ring) {
      if (outbox.room < turnBytes) return;
      this.#ring.delete(stream);
      if (stream.emit(outbox)) this.#ring.add(stream);
    }
  }

  /** What concerns the session: for these few there is always room. */
  #fillOwn(): void {
    const { outbox } = this;
    if (this.#pong !== null) outbox.header(frameTypes.ping, frameFlags.ack, 0, this.#pong);
    this.#pong = null;
    if (this.#pingDue) {
      this.#pingDue = false;
      this.#pingOut = true;
      this.#pingSent = performance.now();
      this.#ping = (this.#ping + 1) >>> 0;
      outbox.header(frameTypes.ping, frameFlags.syn, 0, this.#ping);
    }
    while (this.#refused.length > 0 && outbox.room >= headerBytes)
      outbox.header(frameTypes.windowUpdate, frameFlags.rst, this.#refused.shift() ?? 0, 0);
    if (this.#goAwayDue !== null) outbox.header(frameTypes.goAway, 0, 0, this.#goAwayDue);
    this.#goAwayDue = null;
  }

  leave(stream: TunnelStream): void {
    this.#streams.delete(stream.id);
    if (this.#streams.size === 0) for (const call of this.#onEmpty) call();
  }

  growth(window: number, sinceMs: number): number {
    if (sinceMs > Math.max(2 * this.rttMs, leastGrowMs)) return 0;
    const more = Math.min(window, largestWindow - window, this.#growth);
    this.#growth -= more;
    return more;
  }

  shrink(bytes: number): void {
    this.#growth += bytes;
  }
}
