import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Tap } from "../../types.ts";
import { joined } from "../../wire/joined.ts";
import { AuditedClient } from "../audited.ts";
import { Farewell } from "../farewell.ts";
import type { MongodbAccess } from "./access.ts";
import { Boundaries } from "./boundaries.ts";
import type { Opened } from "./opening.ts";
import { OwnLogins } from "./own-logins.ts";
import { Requests } from "./requests.ts";
import { Rules } from "./rules.ts";
import { Statements } from "./statements.ts";

/** So many answers of ours may wait, for the end of one of the upstream's or for the client: more than that is no client. */
const maxWaiting = 256;
/** How long the answers to what came in one piece with something wrong may take. */
const repliesMs = 1000;

/**
 * Carries commands and answers until both sides are done. Commands are followed on their way upstream; of the answers
 * no more than where they end, unless statements are written down or a client is logging in. Throws a `Refusal`.
 */
export async function carryGoverned(
  session: Session,
  access: MongodbAccess,
  { upstream, user }: Opened,
): Promise<void> {
  const { client } = session;
  const statements = access.audits ? new Statements((statement) => session.statement(statement)) : null;
  const logins = access.logsIn ? null : new OwnLogins(session);
  const requests = new Requests(new Rules(access, user, session, logins, statements?.heard ?? null));
  const boundaries = new Boundaries();
  const farewell = new Farewell(client, upstream);
  // Answers of ours that wait for the end of a message.
  let waiting: Uint8Array[] = [];
  // Those that wait for the client to make room.
  let unsent = 0;
  // Set once there is nothing more to hear from the client.
  let refusal: Refusal | null = null;

  const answer = (): void => {
    const count = waiting.length;
    if (count === 0) return;
    const answers = joined(waiting);
    waiting = [];
    unsent += count;
    const sent = (): void => {
      unsent -= count;
    };
    client.write(answers).then(sent, sent);
  };
  const commands: Tap = (chunk) => {
    if (refusal !== null) return [];
    const { bytes, answers, problem } = requests.push(chunk);
    waiting.push(...answers);
    if (boundaries.between) answer();
    const wrong = problem ?? (waiting.length + unsent > maxWaiting ? "too much that is refused" : null);
    if (wrong !== null) {
      // There is no way to say so: what is wrong may be no request that could be answered.
      refusal = new Refusal("protocol_error", wrong);
      if (bytes.length === 0) farewell.now();
      else farewell.soon(repliesMs);
    }
    return [bytes];
  };
  const answers: Tap = (chunk) => {
    let place: number | null;
    try {
      place = boundaries.push(chunk);
      logins?.replies(chunk, place);
      statements?.replies(chunk);
    } catch (error) {
      const detail = "the upstream does not speak as MongoDB does";
      refusal ??= new Refusal("upstream_refused", detail, { cause: error });
      throw refusal;
    }
    if (place === null || waiting.length === 0) return [chunk];
    const ours = waiting;
    waiting = [];
    return [chunk.subarray(0, place), ...ours, chunk.subarray(place)];
  };
  const taps = { left: commands, right: answers };
  try {
    if (statements === null) await session.relay(upstream, taps);
    else await session.carry(new AuditedClient(client, statements), upstream, taps);
  } catch (error) {
    throw refusal ?? error;
  } finally {
    farewell.done();
    statements?.over();
  }
  if (refusal !== null) throw refusal;
}
