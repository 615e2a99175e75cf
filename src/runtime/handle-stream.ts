import type { Endpoint, EventedConnection } from "../types.ts";
import { Arrivals } from "./arrivals.ts";
import {
  type HandleOwner,
  type Handles,
  type ShutdownRequest,
  type StreamHandle,
  systemError,
  type WriteRequest,
} from "./handles.ts";
import { connectionClosed } from "./relay.ts";

/** What may be on its way out before whoever writes has to wait. */
const highWater = 64 * 1024;

const nothing = new Uint8Array(0);

function onRead(this: StreamHandle): Uint8Array | undefined {
  return this.connection?.arrived();
}

function onWritten(this: WriteRequest, status: number): void {
  const { connection } = this;
  this.connection = null;
  this.bytes = null;
  connection?.wrote(this, status);
}

function onShut(this: ShutdownRequest): void {
  const { connection } = this;
  this.connection = null;
  connection?.shut();
}

/** One that was not needed: what the kernel takes at once asks for none. */
let spare: WriteRequest | null = null;

function writeRequest(handles: Handles): WriteRequest {
  const request = spare ?? new handles.WriteRequest();
  spare = null;
  request.oncomplete = onWritten;
  return request;
}

interface Waiting {
  resolve(): void;
  reject(error: Error): void;
}

/**
 * A connection on a runtime's own handle of a stream, a socket's or TLS's, without the streams of `node:net`: an event
 * of one is a write to the other.
 */
export abstract class HandleStream extends Arrivals implements EventedConnection, HandleOwner {
  readonly handles: Handles;
  protected readonly handle: StreamHandle;
  abstract readonly closed: Promise<void>;
  abstract readonly remote: Endpoint;
  abstract readonly local: Endpoint;
  bytesWritten = 0;

  /** No more of anything: closed, or about to be. */
  protected closing = false;
  /** Where reads go now. */
  protected place: Uint8Array = nothing;
  #writing: WriteRequest | null = null;
  /** Bytes that are on their way out: those of the write that is under way, and behind it. */
  #pending = 0;
  #behind: Uint8Array[] = [];
  #took = true;
  #full = false;
  #drained: (() => void) | undefined;
  #writers: Waiting[] = [];
  /** Asked for, it waits for what is on its way out; then it is under way itself. */
  #end: "no" | "asked" | "under way" | "done" = "no";
  #enders: (() => void)[] = [];

  constructor(handles: Handles, handle: StreamHandle) {
    super();
    this.handles = handles;
    this.handle = handle;
    handle.connection = this;
    handle.onread = onRead;
  }

  /** Where the first read goes. */
  protected abstract firstPlace(): Uint8Array;

  /** So many bytes were read into the place. Gives where the next ones go, if not there. */
  protected abstract filled(count: number): Uint8Array | undefined;

  /** Whether a write has made its own copy of the bytes once it returns. */
  protected abstract readonly copies: boolean;

  /** Whether the peer hears of our own end when the handle is closed, too. */
  protected abstract readonly endsByClosing: boolean;

  abstract abort(how?: "close" | "reset"): void;

  /** Whether all that was written is with the kernel, and our own end behind it, or about to be. */
  protected get endsNow(): boolean {
    return this.#end === "under way" || this.#end === "done";
  }

  protected override start(): void {
    if (!this.closing) this.beginReading();
  }

  protected beginReading(): void {
    this.place = this.firstPlace();
    this.handle.useUserBuffer(this.place);
    this.handle.readStart();
  }

  /** Whether the handle may be told about reads. */
  get #reads(): boolean {
    return !this.closing && !this.ended && this.place.length > 0;
  }

  protected override pause(): void {
    if (this.#reads) this.handle.readStop();
  }

  protected override resume(): void {
    if (this.#reads) this.handle.readStart();
  }

  /** What the runtime calls after each read. */
  arrived(): Uint8Array | undefined {
    const { handles } = this;
    const count = handles.state[handles.readResult] ?? 0;
    if (this.closing || this.ended || count === 0) return undefined;
    if (count > 0) {
      const next = this.filled(count);
      if (next !== undefined) this.place = next;
      return next;
    }
    this.stopped(count);
    return undefined;
  }

  /** Nothing more is read: the peer has ended, or it broke. */
  protected stopped(status: number): void {
    if (status !== this.handles.endOfFile) {
      this.breaks(systemError("read", status));
      return;
    }
    this.peerEnded();
    if (this.#end === "done") this.abort();
  }

  protected breaks(error: Error): void {
    this.failed(error);
    this.abort();
  }

  push(chunk: Uint8Array): boolean {
    this.bytesWritten += chunk.length;
    if (this.closing || this.#end !== "no") {
      this.#took = true;
      return true;
    }
    if (this.#writing === null) {
      this.#send(chunk, chunk.length);
      return !this.#full;
    }
    this.#behind.push(chunk);
    this.#pending += chunk.length;
    this.#took = false;
    this.#full ||= !this.copies || this.#pending >= highWater;
    return !this.#full;
  }

  get took(): boolean {
    return this.#took;
  }

  set drained(callback: () => void) {
    this.#drained = callback;
  }

  #send(bytes: Uint8Array | readonly Uint8Array[], length: number): void {
    const { handles, handle } = this;
    const request = writeRequest(handles);
    request.connection = this;
    request.bytes = bytes;
    this.#writing = request;
    const status =
      bytes instanceof Uint8Array ? handle.writeBuffer(request, bytes) : handle.writev(request, bytes, true);
    if (status === 0 && handles.state[handles.wroteLater] !== 0) {
      // It may have been told within the call.
      if (this.#writing === null) return;
      this.#pending = length;
      this.#took = this.copies;
      this.#full ||= !this.copies || length >= highWater;
      return;
    }
    request.connection = null;
    request.bytes = null;
    spare = request;
    this.#writing = null;
    this.#pending = 0;
    this.#took = true;
    if (status !== 0) this.breaks(systemError("write", status));
  }

  /** What the runtime calls once a write that took longer is done. */
  wrote(request: WriteRequest, status: number): void {
    if (this.#writing !== request || this.closing) return;
    this.#writing = null;
    this.#pending = 0;
    if (status !== 0) {
      this.breaks(systemError("write", status));
      return;
    }
    const behind = this.#behind;
    if (behind.length > 0) {
      this.#behind = [];
      const [first = nothing] = behind;
      if (behind.length === 1) this.#send(first, first.length);
      else
        this.#send(
          behind,
          behind.reduce((sum, { length }) => sum + length, 0),
        );
      if (this.#writing !== null || this.closing) return;
    }
    this.#isDrained();
  }

  #isDrained(): void {
    this.#took = true;
    if (this.#writers.length > 0) {
      const writers = this.#writers;
      this.#writers = [];
      for (const { resolve } of writers) resolve();
    }
    if (this.#full) {
      this.#full = false;
      this.#drained?.();
    }
    if (this.#end === "asked" && this.#writing === null) this.#shutdown();
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.closing) return this.#refused();
    this.push(bytes);
    return this.#room();
  }

  writev(parts: readonly Uint8Array[]): Promise<void> {
    if (this.closing) return this.#refused();
    if (this.#writing !== null || this.#end !== "no" || parts.length < 2) {
      for (const part of parts) this.push(part);
      return this.#room();
    }
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    this.bytesWritten += length;
    this.#send(parts, length);
    return this.#room();
  }

  #refused(): Promise<never> {
    return Promise.reject(this.broke ?? connectionClosed);
  }

  #room(): Promise<void> {
    if (this.closing) return this.#refused();
    if (this.#pending < highWater) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#writers.push({ resolve, reject });
    });
  }

  /** Resolves once everything that was written is out, which it nearly always is. */
  protected flushed(): Promise<void> {
    if (this.closing) return this.#refused();
    if (this.#writing === null) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#writers.push({ resolve, reject });
    });
  }

  closeWrite(): Promise<void> {
    if (this.closing || this.#end !== "no") return Promise.resolve();
    return new Promise((resolve) => {
      this.#enders.push(resolve);
      this.endWrite();
    });
  }

  endWrite(): void {
    if (this.closing || this.#end !== "no") return;
    this.#end = "asked";
    if (this.#writing === null) this.#shutdown();
  }

  #shutdown(): void {
    const { endsByClosing } = this;
    if (!endsByClosing || !this.ended) {
      this.#end = "under way";
      const request = new this.handles.ShutdownRequest();
      if (!endsByClosing) {
        request.connection = this;
        request.oncomplete = onShut;
      }
      // Zero: what is under way is heard of. Otherwise at once, or the peer is gone, which the next read will say.
      if (this.handle.shutdown(request) === 0 && !endsByClosing) return;
    }
    this.shut();
  }

  /** Our own end is out. */
  shut(): void {
    this.#end = "done";
    this.#ended();
    if (this.ended) this.abort();
  }

  #ended(): void {
    const enders = this.#enders;
    this.#enders = [];
    for (const resolve of enders) resolve();
  }

  /** The handle is gone. */
  protected override lost(): void {
    super.lost();
    this.#ended();
    const writers = this.#writers;
    this.#writers = [];
    this.#behind = [];
    for (const { reject } of writers) reject(this.broke ?? connectionClosed);
  }
}
