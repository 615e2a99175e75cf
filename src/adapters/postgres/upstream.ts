import { deadline } from "../../core/deadline.ts";
import { inspect } from "../../core/inspect.ts";
import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import { ok } from "../../wire/cursor.ts";
import { isThisMachine } from "../this-machine.ts";
import { type CancelKey, encodeCancel, sslRequest } from "./wire.ts";

/** For what a server answers at once. */
const answerMs = 10_000;

/** A connection to the upstream. */
export interface Upstream {
  readonly connection: Connection;
  readonly encrypted: boolean;
  /** Encrypted, to whom the route means. */
  readonly verified: boolean;
}

/** Dials, and begins TLS inside the protocol where the route says so. Throws a `Refusal`. */
export async function reach(session: Session, user: string): Promise<Upstream> {
  const { tls, credentials } = session.route.upstream ?? {};
  const certificate = credentials?.minted === true ? await session.mint(user) : undefined;
  const plain = await session.dialPlain();
  if (tls === undefined || tls.mode === "off")
    return { connection: plain, encrypted: false, verified: false };
  try {
    await askForTls(plain);
    const connection = await session.secure(plain, {
      ...(certificate === undefined ? {} : { certificate }),
      alpn: ["postgresql"],
    });
    return { connection, encrypted: true, verified: tls.mode === "verify" };
  } catch (error) {
    plain.abort();
    throw error;
  }
}

async function askForTls(plain: Connection): Promise<void> {
  const late = deadline(answerMs, () => plain.abort());
  try {
    await plain.write(sslRequest);
    const answer = await inspect(plain, (bytes) => ok(bytes[0], 1));
    if (answer.kind !== "ok") throw new Refusal("upstream_refused", "it closed when it was asked for TLS");
    if (answer.value !== 0x53) throw new Refusal("upstream_refused", "it does not speak TLS");
    // As with clients: said in the clear, they must not count as said inside.
    if (answer.head.length > 1)
      throw new Refusal("upstream_refused", "it sent bytes in front of the TLS handshake");
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal("upstream_refused", "it did not answer when it was asked for TLS", { cause: error });
  } finally {
    late.cancel();
  }
}

/** Whether nobody but the server can read what is sent. */
export const isPrivate = ({ connection, verified }: Upstream): boolean =>
  verified || isThisMachine(connection.remote);

/** Asks the upstream to cancel what runs in a session; resolves when it has heard. */
export async function cancelUpstream(session: Session, user: string, key: CancelKey): Promise<void> {
  const { connection } = await reach(session, user);
  const late = deadline(answerMs, () => connection.abort());
  try {
    await connection.write(encodeCancel(key));
    // It answers nothing, and closes once the signal is sent.
    while ((await connection.read()) !== null);
  } catch {
    // Closed as abruptly as some servers do: it was heard, or it can't be.
  } finally {
    late.cancel();
    connection.abort();
  }
}
