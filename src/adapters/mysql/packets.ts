import { inspect } from "../../core/inspect.ts";
import type { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import { mysqlPacket, parseMysqlPacket } from "../../wire/mysql/packet.ts";

/** The packets of a connection that is not past its login: both sides count them together. */
export class Packets {
  readonly connection: Connection;
  readonly #broken: (detail: string) => Refusal;
  readonly #lost: (error: unknown) => unknown;
  #sequence: number;
  #ahead = false;
  #fresh: boolean;

  /**
   * @param sequence the number of the next packet, whoever sends it
   * @param broken what a peer that does not speak the protocol is refused with
   * @param lost what is thrown where the connection breaks: what the connection says, unless given
   */
  constructor(
    connection: Connection,
    sequence: number,
    broken: (detail: string) => Refusal,
    lost: (error: unknown) => unknown = (error) => error,
  ) {
    this.connection = connection;
    this.#sequence = sequence;
    this.#fresh = sequence === 0;
    this.#broken = broken;
    this.#lost = lost;
  }

  /** The same exchange, gone on with inside TLS. */
  over(connection: Connection): Packets {
    return new Packets(connection, this.#sequence, this.#broken, this.#lost);
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
    if (read.kind === "closed") throw this.#broken("closed before it was logged in");
    if (read.kind === "no") throw this.#broken(read.detail);
    const rest = read.head.subarray(read.used);
    this.connection.unread(rest);
    this.#ahead = rest.length > 0;
    if (read.value.sequence !== this.#sequence)
      throw this.#broken(`packet ${read.value.sequence} came where ${this.#sequence} was due`);
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
      throw this.#lost(error);
    });
  }
}
