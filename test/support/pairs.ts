import { selectRuntime } from "../../src/runtime/select.ts";
import type { Connection, Listener, Runtime } from "../../src/types.ts";

/** Makes TCP connections whose both ends are at hand. */
export class Pairs {
  readonly runtime: Runtime;
  readonly #listener: Listener;
  readonly #accepted: ((connection: Connection) => void)[];
  readonly #open: Connection[] = [];

  private constructor(runtime: Runtime, listener: Listener, accepted: ((connection: Connection) => void)[]) {
    this.runtime = runtime;
    this.#listener = listener;
    this.#accepted = accepted;
  }

  static async open(own?: Runtime): Promise<Pairs> {
    const runtime = own ?? (await selectRuntime());
    const accepted: ((connection: Connection) => void)[] = [];
    const listener = await runtime.listen(
      { host: "127.0.0.1", port: 0 },
      { connection: (connection) => accepted.shift()?.(connection), acceptFailed: () => {} },
    );
    return new Pairs(runtime, listener, accepted);
  }

  /** The end that dialled, and the one that accepted. */
  async pair(): Promise<[Connection, Connection]> {
    const other = new Promise<Connection>((resolve) => this.#accepted.push(resolve));
    const { port } = this.#listener.address;
    const client = await this.runtime.dial({ host: "127.0.0.1", port, withinMs: 5000 });
    const server = await other;
    this.#open.push(client, server);
    return [client, server];
  }

  async close(): Promise<void> {
    for (const connection of this.#open) connection.abort();
    await this.#listener.close();
  }
}

export async function readAll(connection: Connection): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await connection.read(); chunk !== null; chunk = await connection.read())
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The next `count` bytes. */
export async function readSome(connection: Connection, count: number): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  while (bytes.length < count) {
    const chunk = await connection.read();
    if (chunk === null) break;
    bytes = Buffer.concat([bytes, chunk]);
  }
  connection.unread(bytes.subarray(count));
  return bytes.subarray(0, count);
}
