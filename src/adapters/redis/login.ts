import { deadline } from "../../core/deadline.ts";
import { inspect } from "../../core/inspect.ts";
import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import { parseReplyLine, request } from "../../wire/redis.ts";
import { firstDatabase, type RedisAccess } from "./access.ts";

/** From the first word to the upstream to its last one of who we are. */
const loginMs = 10_000;

/** A connection to the upstream, with a certificate for this user where one is to be made. */
export async function dial(session: Session, upstreamUser: string): Promise<Connection> {
  if (session.route.upstream?.credentials?.minted !== true) return session.dial();
  const certificate = await session.mint(upstreamUser);
  return session.secure(await session.dialPlain(), { certificate });
}

/** What the router says of itself: `null` where its certificate says it all. */
function ownWords(session: Session, upstreamUser: string): readonly string[] | null {
  const { credentials = null, tls } = session.route.upstream ?? {};
  if (credentials === null) return null;
  const { password } = credentials;
  if (password === null && (credentials.minted || tls?.cert != null)) return null;
  // Without a name for the one user that servers have had from the beginning.
  if (credentials.user === null && upstreamUser === "default") return [password ?? ""];
  return [upstreamUser, password ?? ""];
}

/**
 * Logs in at the upstream and opens the database that the session begins in: `null`, or what the upstream says against
 * it, an error's code first. Throws a `Refusal` where it breaks off or says nothing.
 *
 * @param words the client's own; `null`: the router's
 */
export async function logIn(
  session: Session,
  access: RedisAccess,
  upstream: Connection,
  user: string,
  words: readonly Uint8Array[] | null,
): Promise<string | null> {
  const auth = words ?? ownWords(session, access.upstreamUser(user));
  const { database } = access;
  let late = false;
  const limit = deadline(loginMs, () => {
    late = true;
    upstream.abort();
  });
  try {
    if (auth !== null) {
      const answer = await ask(upstream, ["AUTH", ...auth]);
      if (answer !== "+OK") return answer.slice(1);
    }
    if (database !== null && database !== firstDatabase) {
      const answer = await ask(upstream, ["SELECT", database]);
      if (answer !== "+OK") return answer.slice(1);
    }
    return null;
  } catch (error) {
    if (error instanceof Refusal) throw error;
    const detail = late
      ? `the upstream did not answer the login within ${loginMs} ms`
      : "the upstream broke the connection";
    throw new Refusal("upstream_refused", detail, { cause: error });
  } finally {
    limit.cancel();
  }
}

async function ask(upstream: Connection, words: readonly (string | Uint8Array)[]): Promise<string> {
  await upstream.write(request(words));
  const answer = await inspect(upstream, parseReplyLine);
  if (answer.kind === "ok" && answer.used === answer.head.length) return answer.value;
  const what = answer.kind === "closed" ? "closed the connection" : "does not speak as Redis does";
  throw new Refusal("upstream_refused", `the upstream ${what}`);
}
