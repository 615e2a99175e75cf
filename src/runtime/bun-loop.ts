import { deadline } from "../core/deadline.ts";
import { inspect } from "../core/inspect.ts";
import { sameBytes } from "../identity/same-bytes.ts";
import type { Connection, ListenAddress, Runtime } from "../types.ts";
import { more, ok } from "../wire/cursor.ts";
import { portableRelay } from "./relay.ts";

const ticketBytes = 32;
const withinMs = 5000;
/** How long what was said last may take to get through once TLS has closed its end. */
const lastWordMs = 1000;
/** Whoever holds the TLS end decides how long it may be silent. */
const patient = { idleMs: 7 * 86_400_000, halfCloseMs: 86_400_000 };

/** Linux has names for Unix sockets that are no files, and such a socket has half the cost of TCP. */
const meetingPlace = (): ListenAddress =>
  process.platform === "linux"
    ? { path: `\0sallyport-${crypto.randomUUID()}` }
    : { host: "127.0.0.1", port: 0 };

/**
 * A real socket in front of any connection. Bun's TLS over a stream takes all that it is given, room or no room, and
 * closes both halves at the peer's close_notify (1.4.5); over sockets it does neither.
 *
 * @param dial connects to that place and says the ticket, by which it is told from strangers
 * @returns the socket's two ends
 */
async function loop<D>(
  runtime: Runtime,
  dial: (at: ListenAddress, ticket: Uint8Array) => Promise<D>,
): Promise<readonly [accepted: Connection, dialled: D]> {
  const ticket = crypto.getRandomValues(new Uint8Array(ticketBytes));
  let taken = (_: Connection): void => {};
  let failed = (_: Error): void => {};
  const accepted = new Promise<Connection>((resolve, reject) => {
    taken = resolve;
    failed = reject;
  });
  accepted.catch(() => {});
  const shown = async (connection: Connection): Promise<void> => {
    const late = deadline(withinMs, () => connection.abort());
    const head = await inspect(connection, (bytes) =>
      bytes.length < ticketBytes ? more(ticketBytes) : ok(bytes.slice(0, ticketBytes), ticketBytes),
    );
    late.cancel();
    if (head.kind !== "ok" || !sameBytes(head.value, ticket)) return connection.abort();
    connection.unread(head.head.subarray(ticketBytes));
    taken(connection);
  };
  const place = meetingPlace();
  const listener = await runtime.listen(place, {
    connection: (connection) => void shown(connection).catch(() => connection.abort()),
    acceptFailed: failed,
  });
  const late = deadline(withinMs, () => failed(new Error(`no connection of our own within ${withinMs} ms`)));
  try {
    const dialled = await dial("path" in place ? place : { ...place, port: listener.address.port }, ticket);
    return [await accepted, dialled];
  } finally {
    late.cancel();
    // Not waited for: some runtimes close when the last connection does.
    void listener.close();
  }
}

/** Does TLS on a socket whose other end is joined to a connection. */
export async function securedOnSocket<D, T extends Connection>(
  runtime: Runtime,
  connection: Connection,
  dial: (at: ListenAddress, ticket: Uint8Array) => Promise<D>,
  handshake: (near: D) => Promise<T>,
): Promise<T> {
  const [far, near] = await loop(runtime, dial);
  const joined = portableRelay(connection, far, patient);
  const over = (): Promise<void> =>
    new Promise((resolve) => {
      const late = deadline(lastWordMs, () => {
        connection.abort();
        resolve();
      });
      void joined.then(() => {
        late.cancel();
        resolve();
      });
    });
  try {
    const secured = await handshake(near);
    void secured.closed.then(over);
    return secured;
  } catch (error) {
    // An alert may be on its way.
    await over();
    throw error;
  }
}
