import { type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";
import type { Deadline } from "../core/deadline.ts";
import type { Endpoint } from "../types.ts";
import { bulk, giveBack, ownPlace, sharedPlace } from "./bulk-places.ts";
import { endpoint } from "./endpoint.ts";
import { HandleStream } from "./handle-stream.ts";
import type { Handles, SocketHandle, SocketName } from "./handles.ts";
import { copied } from "./pooled-reads.ts";
import { connectionClosed } from "./relay.ts";

const nobody = (): void => {};

/** A connection on a socket's own handle, TCP's or a Unix socket's. */
export class HandleConnection extends HandleStream {
  declare protected readonly handle: SocketHandle;
  /** Called when it is gone, before anybody else hears of it. */
  atEnd: (() => void) | undefined;
  /** Comes if it is still here by then. */
  lasting: Deadline | undefined;
  #closed: Promise<void> | undefined;
  #settle: () => void = nobody;
  #remote: Endpoint | undefined;
  #local: Endpoint | undefined;
  /** The last place whose bytes are still on their way. */
  #lent: Uint8Array | null = null;
  /** What it was made, if somebody asked for one. */
  #socket: Socket | undefined;

  constructor(handles: Handles, handle: SocketHandle, remote?: Endpoint) {
    super(handles, handle);
    this.#remote = remote;
  }

  /** Made for the first who asks: of most connections a relay is told alone. */
  get closed(): Promise<void> {
    this.#closed ??= this.gone
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#settle = resolve;
        });
    return this.#closed;
  }

  get remote(): Endpoint {
    this.#remote ??= nameOf(this.handle, "getpeername") ?? endpoint(undefined, undefined);
    return this.#remote;
  }

  get local(): Endpoint {
    this.#local ??= nameOf(this.handle, "getsockname") ?? endpoint(undefined, undefined);
    return this.#local;
  }

  protected get copies(): boolean {
    return false;
  }

  protected get endsByClosing(): boolean {
    return true;
  }

  protected firstPlace(): Uint8Array {
    return sharedPlace;
  }

  protected filled(count: number): Uint8Array | undefined {
    const { place } = this;
    if (place === sharedPlace) {
      this.take(copied(sharedPlace, count));
      return count < bulk ? undefined : ownPlace();
    }
    const took = this.take(place.subarray(0, count));
    if (!took) this.#lent = this.piped ? place : null;
    else if (count < bulk) giveBack(place);
    if (count < bulk) return sharedPlace;
    return took ? undefined : ownPlace();
  }

  override pipeTo(sink: (chunk: Uint8Array | null) => boolean): void {
    // Whoever had the chunks before may still have them.
    this.#lent = null;
    super.pipeTo(sink);
  }

  reclaim(): void {
    if (this.#lent === null) return;
    giveBack(this.#lent);
    this.#lent = null;
  }

  abort(how: "close" | "reset" = "close"): void {
    if (this.#socket !== undefined) {
      this.#socket.destroy();
      return;
    }
    if (this.closing) return;
    this.closing = true;
    // A reset that comes while our own end is on its way out is refused, and the handle stays open for good. TLS may send
    // one of its own, and needs no reset.
    const mayReset = how === "reset" && !this.endsNow && this.atEnd === undefined;
    // Who has nothing to be tidied up is gone at once, and the runtime need not call back.
    const untidy = this.atEnd !== undefined || (this.place.length > 0 && this.place !== sharedPlace);
    const then = untidy ? this.#isGone.bind(this) : undefined;
    if (!mayReset || this.handle.reset?.(then) !== 0) this.handle.close(then);
    if (!untidy) this.#isGone();
  }

  #isGone(): void {
    this.lasting?.cancel();
    this.handle.connection = undefined;
    if (this.place.length > 0 && this.place !== sharedPlace) giveBack(this.place);
    this.lost();
    this.atEnd?.();
    this.#settle();
  }

  /**
   * Gives the handle away once it is idle, and what was read and is nobody's: for TLS on top. Whoever takes it reads and
   * writes it, and ends it through this connection. Rejects where it is gone.
   */
  async surrender(): Promise<{ readonly handle: SocketHandle; readonly read: Uint8Array[] }> {
    await this.flushed();
    this.pause();
    return { handle: this.handle, read: this.unclaimed() };
  }

  /** Gives the connection away as a socket, for a library that wants one. It can be aborted still, and nothing else. */
  async detach(): Promise<Socket> {
    const { handle, read } = await this.surrender();
    // Aborted meanwhile: a socket of a handle that closes would never say that it is closed.
    if (this.closing) throw this.broke ?? connectionClosed;
    const onread: OnReadOpts = {
      buffer: sharedPlace,
      callback: (count) => socket.push(copied(sharedPlace, count)),
    };
    // The handle may have been told of a place already, and needs one then for as long as it lives.
    const options = { handle, allowHalfOpen: true, pauseOnCreate: true, onread };
    const socket: Socket = new Socket(options as unknown as SocketConstructorOpts);
    this.#socket = socket;
    socket.once("close", () => {
      this.closing = true;
      this.lasting?.cancel();
      this.lost();
      this.#settle();
    });
    for (const chunk of read.reverse()) socket.unshift(chunk);
    return socket;
  }
}

// One for all, which has been told before: in an empty one each property is a new one.
const name: SocketName = {};

/** `undefined` where it has none, or is gone. */
export function nameOf(handle: SocketHandle, which: "getpeername" | "getsockname"): Endpoint | undefined {
  if (handle[which]?.(name) !== 0) return undefined;
  return endpoint(name.address, name.port);
}
