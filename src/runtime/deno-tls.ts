import { Duplex } from "node:stream";
import { createSecureContext, TLSSocket } from "node:tls";
import { Refusal } from "../errors.ts";
import type { Connection, Endpoint, TlsConnection } from "../types.ts";
import { alertRecord } from "../wire/alert.ts";
import { DenoConnection } from "./deno-socket.ts";
import type { DenoTlsContext } from "./deno-tls-context.ts";
import { connectionClosed } from "./relay.ts";
import { maxChain } from "./tls-connection.ts";

/** What `node:tls` stands on in Deno (2.8 to 2.9): rustls, with no stream and no socket on either side of it. */
interface Engine {
  initServerTls(options: object): number;
  attachJsStream(): number;
  /** The object whose `onhandshakedone` and `onerror` are called, and which is `this` in what reads are given to. */
  setHandle(owner: object): void;
  setOnread(take: (this: Session, plaintext: ArrayBuffer | undefined) => void): void;
  setAlpnProtocols(ids: readonly string[]): void;
  start(): number;
  /** Takes in ciphertext. Everything that comes of it is called within. */
  receive(ciphertext: Uint8Array): void;
  /** No more ciphertext is to come. */
  emitEof(): void;
  /** Encrypts some of it now, and the rest with each `receive`. Whoever wants to hear of its end asks by the request. */
  writeBuffer(request: object, plaintext: Uint8Array): number;
  /** Encrypts a close_notify. */
  shutdown(request: object): number;
  /** Ciphertext that is to go out; none: empty. */
  drainEncOut(): Uint8Array;
  destroySsl(): void;
  getProtocol(into: { protocol?: string }): void;
  getAlpnNegotiatedProtocol(into: { alpnProtocol?: string | false }): void;
  isSessionReused(): boolean;
  getPeerCertificateChain(): { readonly certificates?: readonly Uint8Array[] } | undefined;
}

export type EngineConstructor = new (kind: number, provider: number) => Engine;

const needed: Readonly<Record<keyof Engine, true>> = {
  initServerTls: true,
  attachJsStream: true,
  setHandle: true,
  setOnread: true,
  setAlpnProtocols: true,
  start: true,
  receive: true,
  emitEof: true,
  writeBuffer: true,
  shutdown: true,
  drainEncOut: true,
  destroySsl: true,
  getProtocol: true,
  getAlpnNegotiatedProtocol: true,
  isSessionReused: true,
  getPeerCertificateChain: true,
};

/**
 * The class of what a TLS socket has beneath it, or `null` where that is not as expected: there is no public way to it.
 * Through `node:tls` every connection is two sockets more, whose making takes up to half of a handshake's CPU.
 */
export function findEngine(): EngineConstructor | null {
  const none = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  const socket = new TLSSocket(none, { isServer: true, secureContext: createSecureContext() });
  socket.on("error", () => {});
  const found = (socket as { readonly _handle?: object | null })._handle?.constructor;
  socket.destroy();
  const prototype: unknown = found?.prototype;
  if (typeof prototype !== "object" || prototype === null) return null;
  const has = (name: string): boolean => typeof Reflect.get(prototype, name) === "function";
  return Object.keys(needed).every(has) ? (found as EngineConstructor) : null;
}

/** As `wrap` of Deno's own `tls_wrap` has it. */
const serverSide = 1;

const nothing = new Uint8Array(0);

/** What is encrypted at once: as much as the engine does. */
const mostSealed = 48 * 1024;

/** In TLS 1.3 (RFC 8446 §5.1, §5.2): content of a record, and what it is longer by, with every cipher suite. */
const record = 16 * 1024;
const overhead = 5 + 1 + 16;

/** Below that giving memory back by hand is not worth the call. */
const leastReleased = 4 * 1024;

/**
 * Gives a chunk's memory back, which nobody looks at any more. What the engine makes it makes anew each time, and by the
 * time the collector has come by there may be hundreds of megabytes of it, none of them in any cache.
 */
function release(chunk: Uint8Array): void {
  if (chunk.length >= leastReleased) (chunk.buffer as ArrayBuffer).transfer(0);
}

/** Nobody wants to hear of a write's end. */
const silent = {};

/** One side's TLS, and none of its bytes' ways: ciphertext in and out, plaintext in and out. */
class Session {
  readonly engine: Engine;
  readonly plain: Uint8Array[] = [];
  established = false;
  /** The peer has said that nothing more comes, or its connection has. */
  ended = false;
  error: Error | undefined;
  bytesRead = 0;
  #free = false;

  constructor(engine: Engine) {
    this.engine = engine;
    engine.setHandle(this);
    engine.setOnread(onread);
  }

  onhandshakedone(): void {
    this.established = true;
  }

  onerror(error: Error): void {
    this.error ??= error;
  }

  /** `null`: no more is to come. */
  take(ciphertext: Uint8Array | null): void {
    if (this.#free) throw connectionClosed;
    if (ciphertext !== null) this.engine.receive(ciphertext);
    else {
      this.engine.emitEof();
      this.ended = true;
    }
  }

  /** The first ciphertext of at most as much as is sealed at once. The next is given by `more`. */
  seal(plaintext: Uint8Array): Uint8Array {
    if (this.#free || this.engine.writeBuffer(silent, plaintext) !== 0) throw connectionClosed;
    return this.engine.drainEncOut();
  }

  /** The next ciphertext of what is being sealed; empty: that was all. */
  more(): Uint8Array {
    if (this.#free) throw connectionClosed;
    this.engine.receive(nothing);
    return this.engine.drainEncOut();
  }

  /** Breaks the circle of it and its engine, too. */
  free(): void {
    if (this.#free) return;
    this.#free = true;
    this.engine.destroySsl();
  }
}

/** One for all sessions. */
function onread(this: Session, plaintext: ArrayBuffer | undefined): void {
  if (plaintext === undefined) this.ended = true;
  else {
    this.bytesRead += plaintext.byteLength;
    this.plain.push(new Uint8Array(plaintext));
  }
}

/** A finished handshake. Nothing is read of the connection beneath before somebody wants it, which sets the pace. */
export class DenoTlsConnection implements TlsConnection {
  readonly version: string;
  readonly alpn: string | null;
  readonly resumed: boolean;
  bytesWritten = 0;

  readonly #beneath: Connection;
  readonly #session: Session;
  #writeDone = false;
  #gone = false;
  #unsent = 0;
  /** Behind the write that is under way TLS may have something to say by itself. */
  #says = false;
  #lastWrite: Promise<void> = Promise.resolve();
  #putBack = 0;
  /** What was read last, where it came from the engine. */
  #own: Uint8Array | undefined;

  constructor(beneath: Connection, session: Session) {
    this.#beneath = beneath;
    this.#session = session;
    const protocol: { protocol?: string } = {};
    session.engine.getProtocol(protocol);
    this.version = protocol.protocol ?? "";
    const alpn: { alpnProtocol?: string | false } = {};
    session.engine.getAlpnNegotiatedProtocol(alpn);
    this.alpn = alpn.alpnProtocol || null;
    this.resumed = session.engine.isSessionReused();
    if (beneath instanceof DenoConnection) beneath.expectLittle();
    void beneath.closed.then(() => this.abort());
  }

  get remote(): Endpoint {
    return this.#beneath.remote;
  }

  get local(): Endpoint {
    return this.#beneath.local;
  }

  get closed(): Promise<void> {
    return this.#beneath.closed;
  }

  get bytesRead(): number {
    return this.#session.bytesRead;
  }

  peerLeaf(): Uint8Array | null {
    return this.#certificates()[0] ?? null;
  }

  peerChain(): readonly Uint8Array[] {
    const all = this.#certificates();
    // One that was sent twice counts once.
    return all.filter((each, i) => i === 0 || Buffer.compare(each, all[i - 1] ?? nothing) !== 0);
  }

  #certificates(): readonly Uint8Array[] {
    return (this.#session.engine.getPeerCertificateChain()?.certificates ?? []).slice(0, maxChain);
  }

  read(): Promise<Uint8Array | null> {
    const chunk = this.#take();
    if (chunk !== undefined) return Promise.resolve(chunk);
    return this.#session.ended ? Promise.resolve(null) : this.#next();
  }

  async #next(): Promise<Uint8Array | null> {
    const session = this.#session;
    for (;;) {
      session.take(await nextBytes(this.#beneath));
      const chunk = this.#take();
      if (session.error !== undefined) {
        // Its alert, unless it would have to wait for what the peer may never read.
        if (this.#unsent === 0) await this.#inTurn(nothing).catch(() => {});
        this.abort();
        throw session.error;
      }
      // TLS 1.2 has answers of its own, and TLS 1.3 none that could not wait for the next write.
      if (chunk === undefined || this.version !== "TLSv1.3") {
        // Not behind a write, which may wait for a peer that waits to be heard itself: that one says it, too.
        if (this.#unsent > 0) this.#says = true;
        else await this.#inTurn(nothing);
      }
      if (session.ended && this.#writeDone) this.abort();
      if (chunk !== undefined) return chunk;
      if (session.ended) return null;
    }
  }

  #take(): Uint8Array | undefined {
    const chunk = this.#session.plain.shift();
    this.#own = this.#putBack === 0 ? chunk : undefined;
    if (this.#putBack > 0) this.#putBack--;
    return chunk;
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#session.plain.unshift(bytes);
    this.#putBack++;
  }

  /** Whoever read a chunk last is done with it. One that was put back may be somebody else's as well. */
  release(chunk: Uint8Array): void {
    if (chunk === this.#own) release(chunk);
  }

  write(bytes: Uint8Array): Promise<void> {
    this.bytesWritten += bytes.length;
    return this.#inTurn(bytes);
  }

  /** Records go out in the order in which they were made. Of no bytes: what TLS has to say by itself. */
  #inTurn(bytes: Uint8Array): Promise<void> {
    if (this.#unsent++ === 0) this.#lastWrite = this.#send(bytes);
    else {
      const next = (): Promise<void> => this.#send(bytes);
      this.#lastWrite = this.#lastWrite.then(next, next);
    }
    return this.#lastWrite;
  }

  async #send(bytes: Uint8Array): Promise<void> {
    const session = this.#session;
    try {
      if (bytes.length === 0) await sendOut(this.#beneath, session);
      for (let at = 0; at < bytes.length; at += mostSealed) {
        const part = bytes.length <= mostSealed ? bytes : bytes.subarray(at, at + mostSealed);
        let out = session.seal(part);
        if (out.length === 0) throw connectionClosed;
        // Its length tells that all of it is there, and nothing else: then there is no more to ask for.
        const all = part.length + overhead * Math.ceil(part.length / record);
        const isAll = this.version === "TLSv1.3" && out.length === all;
        for (; out.length > 0; out = isAll ? nothing : session.more()) {
          await this.#beneath.write(out);
          if (this.#beneath instanceof DenoConnection) release(out);
        }
      }
      if (this.#says) {
        this.#says = false;
        await sendOut(this.#beneath, session);
      }
    } catch (error) {
      this.abort();
      throw error;
    } finally {
      this.#unsent--;
    }
  }

  async closeWrite(): Promise<void> {
    if (this.#writeDone || this.#gone) return;
    this.#writeDone = true;
    try {
      await this.#lastWrite;
      if (this.#gone) return;
      this.#session.engine.shutdown({});
      await sendOut(this.#beneath, this.#session);
    } catch {
      this.abort();
      return;
    }
    await this.#beneath.closeWrite();
    if (this.#session.ended) this.abort();
  }

  /** Without a close_notify the peer knows that the stream was cut (RFC 8446 §6.1); no TCP reset is needed. */
  abort(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#session.free();
    this.#beneath.abort();
  }
}

const nextBytes = (connection: Connection): Promise<Uint8Array | null> =>
  connection instanceof DenoConnection ? connection.readView() : connection.read();

/** Sends what the session has to say, if it has. */
async function sendOut(connection: Connection, session: Session): Promise<void> {
  const ciphertext = session.engine.drainEncOut();
  if (ciphertext.length > 0) await connection.write(ciphertext);
}

/** The server's handshake; the ClientHello is already put back in the connection. */
export async function terminateNatively(
  Engine: EngineConstructor,
  beneath: Connection,
  context: DenoTlsContext,
  alpn: string | null,
): Promise<DenoTlsConnection> {
  const session = new Session(new Engine(serverSide, 0));
  let cause: unknown;
  try {
    begin(session.engine, context, alpn);
    for (let more = true; more && session.error === undefined; ) {
      const ciphertext = await nextBytes(beneath);
      session.take(ciphertext);
      await sendOut(beneath, session);
      if (session.established && session.error === undefined) return new DenoTlsConnection(beneath, session);
      more = ciphertext !== null;
    }
  } catch (error) {
    cause = error;
  }
  session.free();
  // Without a word of the engine's own the alert is still ours to send.
  if (beneath.bytesWritten === 0) await beneath.write(alertRecord("handshake_failure")).catch(() => {});
  beneath.abort();
  const why = session.error?.message ?? "the client went away during the handshake";
  throw new Refusal("handshake_failed", why, { cause: session.error ?? cause });
}

function begin(engine: Engine, context: DenoTlsContext, alpn: string | null): void {
  if (context.configure((options) => engine.initServerTls(options)) !== 0)
    throw new Error("the runtime refuses the TLS context");
  engine.attachJsStream();
  if (alpn !== null) engine.setAlpnProtocols([alpn]);
  engine.start();
}
