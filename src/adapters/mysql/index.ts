import { deadline } from "../../core/deadline.ts";
import { lingeringClose } from "../../core/linger.ts";
import type { Adapter, Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import type { Greeting } from "../../wire/mysql/greeting.ts";
import { errorPayload } from "../../wire/mysql/packet.ts";
import { Greetings } from "./greetings.ts";
import { type LoggedIn, logIn } from "./login.ts";
import { client, firstInside, leadToTls } from "./opening.ts";
import { Packets } from "./packets.ts";
import { errorFor } from "./refusals.ts";
import { serveCommands } from "./serve-commands.ts";

/** From the end of the TLS handshake to the end of the login, both sides' answers included. */
const loginMs = 10_000;

const packetsOf = (session: Session, greeted: Greeting | null): Packets =>
  new Packets(session.client, greeted === null ? 0 : firstInside, client("protocol_error"));

/** Says why, as the server would say it. */
const tell = async (session: Session, client: Packets, refusal: Refusal): Promise<void> => {
  const error = errorFor(refusal, session.id);
  // Before capabilities are exchanged, errors have no state.
  await client.write(errorPayload(client.fresh ? { ...error, state: null } : error));
};

/** The login, told of where it fails and ended where it takes too long. Throws a `Refusal`. */
async function boundedLogin(
  session: Session,
  client: Packets,
  greetings: Greetings,
  greeted: Greeting | null,
): Promise<LoggedIn> {
  let late = false;
  let upstream: Connection | undefined;
  const dialled = (connection: Connection): void => {
    upstream = connection;
    if (late) connection.abort();
  };
  let tooLate: (refusal: Refusal) => void;
  const limit = new Promise<never>((_, reject) => {
    tooLate = reject;
  });
  const timer = deadline(loginMs, () => {
    late = true;
    tooLate(new Refusal("protocol_error", `not logged in within ${loginMs} ms`));
  });
  try {
    return await Promise.race([logIn(session, client, greetings, greeted, dialled), limit]);
  } catch (error) {
    upstream?.abort();
    if (error instanceof Refusal) {
      await tell(session, client, error).catch(() => {});
      // Somebody may still be reading what a lingering close would read.
      if (late) await session.client.closeWrite().catch(() => {});
      else await lingeringClose(session.client);
    }
    throw error;
  } finally {
    timer.cancel();
  }
}

async function serve(session: Session, greetings: Greetings, greeted: Greeting | null): Promise<void> {
  const client = packetsOf(session, greeted);
  const loggedIn = await boundedLogin(session, client, greetings, greeted);
  await serveCommands(session, loggedIn);
}

/** Refused before it could say who it is in the database. */
async function refuse(session: Session, refusal: Refusal, greeted: Greeting | null): Promise<void> {
  const client = packetsOf(session, greeted);
  // It sends its login whether or not it is listened to.
  if (greeted !== null) await client.read();
  await tell(session, client, refusal);
}

/** MySQL and MariaDB: greets as the server would, logs in there, and holds the clients to what they may ask for. */
export function mysqlAdapter(): Adapter {
  const greetings = new Greetings();
  return {
    name: "mysql",
    opening: {
      begins: null,
      async lead(client, clear) {
        const greeted = await leadToTls(client, clear, greetings);
        return {
          handle: (session) => serve(session, greetings, greeted),
          refuse: (session, refusal) => refuse(session, refusal, greeted),
        };
      },
    },
    handle: (session) => serve(session, greetings, null),
    refuse: (session, refusal) => refuse(session, refusal, null),
  };
}
