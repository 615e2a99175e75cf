import { deadline } from "../../core/deadline.ts";
import { inspect } from "../../core/inspect.ts";
import { lingeringClose } from "../../core/linger.ts";
import type { Adapter, Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import { parsePostgresOpening, postgresFatal } from "../../wire/postgres.ts";
import { judge } from "./asked.ts";
import type { CancelKeys } from "./cancel-keys.ts";
import { untilDeparture } from "./departure.ts";
import { establish, type Outbox, told } from "./establish.ts";
import { clearOpening } from "./opening.ts";
import { ownLogin } from "./own-login.ts";
import { refusal, states, ToldRefusal, violation } from "./refusal.ts";
import { relayedLogin } from "./relayed-login.ts";
import { followStatements } from "./statements.ts";
import { cancelUpstream, reach } from "./upstream.ts";
import { parseCancel, parseStartup } from "./wire.ts";

/** From the end of the TLS handshake to the client's startup message. */
const startupMs = 10_000;
/** From there to the first query, as Postgres itself has it (`authentication_timeout`). */
const loginMs = 60_000;

/** What the adapter needs of the world beside its sessions. */
export interface PostgresNeeds {
  /** Lower-case hexadecimal. */
  md5Hex(data: Uint8Array): string;
  readonly cancelKeys: CancelKeys;
}

interface Lateness {
  over: boolean;
  onLate: () => void;
}

/** Does a part of the login within its time: else the client is told, and cut off. */
async function within<T>(
  ms: number,
  client: Connection,
  late: ToldRefusal,
  work: (lateness: Lateness) => Promise<T>,
): Promise<T> {
  const lateness: Lateness = { over: false, onLate: () => {} };
  const timer = deadline(ms, () => {
    lateness.over = true;
    lateness.onLate();
    // It may be read from just now, so that its end can't be waited for.
    const cut = (): void => void deadline(1000, () => client.abort());
    client
      .write(late.packet)
      .then(() => client.closeWrite())
      .then(cut, cut);
  });
  try {
    const done = await work(lateness);
    if (!lateness.over) return done;
  } catch (error) {
    if (!lateness.over) throw error;
  } finally {
    timer.cancel();
  }
  // Said already: only the record is to have it.
  throw new Refusal(late.reason, late.message);
}

const outbox = (client: Connection): Outbox => {
  let waiting: Uint8Array[] = [];
  return {
    add: (message) => void waiting.push(message),
    flush: async () => {
      const messages = waiting;
      waiting = [];
      if (messages.length === 0) return;
      const bytes = new Uint8Array(messages.reduce((sum, { length }) => sum + length, 0));
      let at = 0;
      for (const message of messages) {
        bytes.set(message, at);
        at += message.length;
      }
      await client.write(bytes);
    },
  };
};

/** A session that is past its login. */
interface Open {
  readonly upstream: Connection;
  release(): void;
}

/** Reads what the client came for; a request to cancel is seen to, and `null` then. Throws a refusal. */
async function startupOf(session: Session, keys: CancelKeys) {
  const { client, source, route, identity } = session;
  const late = violation(`no startup message within ${startupMs / 1000} s`);
  const first = await within(startupMs, client, late, () => inspect(client, parsePostgresOpening));
  if (first.kind === "closed") throw new Refusal("client_closed", "closed before a startup message");
  if (first.kind === "no") throw violation(first.detail);
  if (first.value === "end") throw new Refusal("client_closed", "ended before a startup message");
  client.unread(first.head.subarray(first.used));
  const bytes = first.head.subarray(0, first.used);
  if (first.value === "cancel") {
    const key = parseCancel(bytes);
    const asking = { source: source.address, route: route.name, identity };
    const done = key.kind === "ok" && (await keys.cancel(key.value, asking, Date.now()));
    await lingeringClose(client);
    if (!done)
      throw new Refusal("identity_not_allowed", "a request to cancel what is not this client's to cancel");
    return null;
  }
  if (first.value !== "startup") throw violation("encryption was asked for inside of TLS");
  const startup = parseStartup(bytes);
  if (startup.kind === "ok") return startup.value;
  throw violation(startup.kind === "no" ? startup.detail : "the startup message has no end");
}

async function open(session: Session, keys: CancelKeys, needs: PostgresNeeds): Promise<Open | null> {
  const startup = await startupOf(session, keys);
  if (startup === null) return null;
  const { client, route, identity, source } = session;
  const asked = judge(session, startup);
  const late = refusal("upstream_refused", states.unreachable, `no login within ${loginMs / 1000} s`);
  return within(loginMs, client, late, async (lateness) => {
    const upstream = await reach(session, asked.user);
    const { connection } = upstream;
    lateness.onLate = () => connection.abort();
    let release = (): void => {};
    const box = outbox(client);
    const credentials = route.upstream?.credentials ?? null;
    const send = (message: Uint8Array): Promise<void> => {
      box.add(message);
      return box.flush();
    };
    try {
      if (lateness.over) throw late;
      await establish({
        asked,
        minor: startup.minor,
        upstream,
        authenticator:
          credentials === null
            ? relayedLogin(client, upstream, send)
            : ownLogin(credentials, asked.user, upstream, needs.md5Hex),
        client: box,
        issue: (real) => {
          release();
          const holder = { source: source.address, route: route.name, identity };
          const issued = keys.issue(real, holder, () => cancelUpstream(session, asked.user, real));
          release = issued.release;
          return issued.key;
        },
      });
      if (lateness.over) throw late;
    } catch (error) {
      release();
      connection.abort();
      throw error;
    }
    const { askedUser, user } = asked;
    session.opened({ user, ...(askedUser === user ? {} : { askedUser }), name: asked.database });
    return { upstream: connection, release };
  });
}

/** Postgres: who may be whom in which database, login at the upstream, requests to cancel; then bytes are bytes, until the router drains. */
export function postgresAdapter(needs: PostgresNeeds): Adapter {
  const keys = needs.cancelKeys;
  const handler = {
    async handle(session: Session): Promise<void> {
      let opened: Open | null;
      try {
        opened = await open(session, keys, needs);
      } catch (error) {
        const known = told(error, session.route.name);
        if (known instanceof ToldRefusal) await lingeringClose(session.client, known.packet);
        throw known;
      }
      if (opened === null) return;
      const { upstream, release } = opened;
      try {
        await untilDeparture(session, upstream, (taps) =>
          session.route.database?.auditStatements === true
            ? followStatements(session, upstream, taps)
            : session.relay(upstream, taps),
        );
      } finally {
        release();
      }
    },
    refuse: (session: Session, { reason, message }: Refusal): Promise<void> => {
      const sentence = `refused (${reason}): ${message}`;
      return session.client.write(postgresFatal(states.unauthorized, `sallyport: ${sentence}`));
    },
  };
  return { name: "postgres", ...handler, opening: clearOpening(keys, handler) };
}
