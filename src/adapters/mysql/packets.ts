import { inspect } from "../../core/inspect.ts";
import type { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import { mysqlPacket, parseMysqlPacket } from "../../wire/mysql/packet.ts";

/** What a peer is refused with, or found to be, where it does not go on as it should. */
export interface Peer {
  /** It does not speak the protocol. */
  broken(detail: string): Refusal;
  /** It closed the connection between two packets. */
  closed(): Refusal;
  /** The connection broke: what is thrown for what it says. */
  lost(error: unknown): unknown;
}

/** The packets of a connection that is not past its login: both sides count them together. */
export class Packets {
  readonly connection: Connection;
  readonly #peer: Peer;
  #sequence: number;
  #ahead = false;
  #fresh: boolean;

  /** @param sequence the number of the next packet, whoever sends it */
  constructor(connection: Connection, sequence: number, peer: Peer) {
    this.connection = connection;
    this.#sequence = sequence;
    this.#fresh = sequence === 0;
    this.#peer = peer;
  }

  /** The same exchange, gone on with inside TLS. */
  over(connection: Connection): Packets {
    return new Packets(connection, this.#sequence, this.#peer);
  }

  /** Whether nothing was said yet. */
  get fresh(): boolean {
    return this.#fresh;
  }

  /** Whether the peer has said more than was read. */
  get ahead(): boolean {
    return this.#ahead;
  }

  /** The next packet's payload, to be kept as long as one likes. Throws a `Refusal`. */
  async read(): Promise<Uint8Array> {
    const read = await this.#through(inspect(this.connection, parseMysqlPacket));
    if (read.kind === "closed" && read.head.length === 0) throw this.#peer.closed();
    if (read.kind === "closed") throw this.#peer.broken("closed in the middle of a packet");
    if (read.kind === "no") throw this.#peer.broken(read.detail);
    const rest = read.head.subarray(read.used);
    this.connection.unread(rest);
    this.#ahead = rest.length > 0;
    if (read.value.sequence !== this.#sequence)
      throw this.#peer.broken(`packet ${read.value.sequence} came where ${this.#sequence} was due`);
    this.#sequence = (this.#sequence + 1) & 255;
    return read.value.payload.slice();
  }

  write(payload: Uint8Array): Promise<void> {
    this.#fresh = false;
    const packet = mysqlPacket(this.#sequence, payload);
    this.#sequence = (this.#sequence + 1) & 255;
    return this.#through(this.connection.write(packet));
  }

  #through<T>(work: Promise<T>): Promise<T> {
    return work.catch((error: unknown) => {
      throw this.#peer.lost(error);
    });
  }
}
