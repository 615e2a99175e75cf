import { isEvented } from "../../core/evented.ts";
import type { Connection, EventedConnection } from "../../types.ts";
import { connectionClosed } from "../relay.ts";
import { takenOver } from "./switched-connection.ts";

/** What may wait for the new owner of a connection before its peer is made to wait. */
const highWater = 64 * 1024;

/**
 * What comes of a connection, as it comes: by events where the connection has them, which cost less than a promise for
 * each. A read is under way at all times but while it is held, so that an end is noticed.
 */
export class Intake {
  readonly #connection: Connection;
  readonly #evented: EventedConnection | null;
  readonly #take: (chunk: Uint8Array | null) => void;
  readonly #broke: (error: Error) => void;
  #held = false;
  #reading: Promise<Uint8Array | null> | null = null;
  #ended = false;
  #gone = false;
  /** What came after the connection was given away. */
  #left: (Uint8Array | null)[] | null = null;
  #leftBytes = 0;

  /**
   * @param take is given every chunk, to keep, and `null` at the peer's end
   * @param broke the connection is gone without an end
   */
  constructor(
    connection: Connection,
    take: (chunk: Uint8Array | null) => void,
    broke: (error: Error) => void,
  ) {
    this.#connection = connection;
    this.#evented = isEvented(connection) ? connection : null;
    this.#take = take;
    this.#broke = broke;
  }

  /** Once. */
  start(): void {
    void this.#connection.closed.then(this.#closed);
    if (this.#evented !== null) this.#evented.pipeTo(this.#sink);
    else this.#pull();
  }

  readonly #sink = (chunk: Uint8Array | null): boolean => {
    if (this.#left === null) this.#hand(chunk);
    else {
      this.#left.push(chunk);
      this.#leftBytes += chunk?.length ?? 0;
      // Not before: some runtimes don't notice the end of a connection that is held.
      if (this.#leftBytes >= highWater) this.#evented?.hold();
    }
    return false;
  };

  #hand(chunk: Uint8Array | null): void {
    if (chunk === null) this.#ended = true;
    this.#take(chunk);
  }

  readonly #closed = (): void => {
    this.#gone = true;
    if (this.#left !== null || this.#ended) return;
    if (this.#evented !== null) this.#broke(this.#evented.broke ?? connectionClosed);
    // Whoever is held would not notice: what came before the end is little, and then comes the end.
    else this.#pull();
  };

  #pull(): void {
    if (this.#reading !== null || this.#ended || this.#left !== null || (this.#held && !this.#gone)) return;
    this.#reading = this.#connection.read();
    this.#reading.then(this.#came, this.#failed);
  }

  readonly #came = (chunk: Uint8Array | null): void => {
    if (this.#left !== null) return;
    this.#reading = null;
    this.#hand(chunk);
    this.#pull();
  };

  readonly #failed = (error: Error): void => {
    if (this.#left !== null) return;
    this.#ended = true;
    this.#broke(error);
  };

  /** Nothing more for now; what is on its way already still comes. */
  hold(): void {
    this.#held = true;
    this.#evented?.hold();
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    if (this.#evented === null) this.#pull();
    else this.#evented.release();
  }

  /**
   * The connection itself, for whoever has switched protocols. Nothing comes here any more.
   *
   * @param rest what was taken too much: it comes first
   */
  giveAway(rest: Uint8Array): Connection {
    const left: (Uint8Array | null)[] = rest.length === 0 ? [] : [rest];
    if (this.#ended) left.push(null);
    this.#left = left;
    return takenOver(this.#connection, left, this.#reading);
  }
}
