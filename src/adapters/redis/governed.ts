import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Tap, Taps } from "../../types.ts";
import { replyLine } from "../../wire/redis.ts";
import { AuditedClient } from "../audited.ts";
import { Farewell } from "../farewell.ts";
import type { RedisAccess } from "./access.ts";
import { Marks } from "./marks.ts";
import type { Opened } from "./opening.ts";
import { Requests } from "./requests.ts";
import { Rules } from "./rules.ts";
import { Statements } from "./statements.ts";

/** How long the upstream may take to say what came before the end. */
const lastWordsMs = 10_000;

/**
 * Carries commands and replies until both sides are done. Commands are followed on their way upstream; replies are not,
 * but where one of ours is to come among them, or statements are written down. Throws a `Refusal`.
 */
export async function carryGoverned(
  session: Session,
  access: RedisAccess,
  { upstream, user }: Opened,
): Promise<void> {
  const statements = access.audits ? new Statements((statement) => session.statement(statement)) : null;
  const marks = new Marks();
  const rules = new Rules(access, user, marks, (refusal) => session.note(refusal));
  const requests = new Requests({
    concerns: (name) => rules.concerns(name),
    judge: (args) => rules.judge(args),
    heard: statements?.heard ?? null,
  });
  const farewell = new Farewell(session.client, upstream);
  // Set once there is nothing more to hear from the client.
  let refusal: Refusal | null = null;

  const commands: Tap = (chunk) => {
    if (refusal !== null) return [];
    const { bytes, problem } = requests.push(chunk);
    const wrong = problem ?? (marks.tooMany ? "too much that is refused" : null);
    if (wrong === null) return [bytes];
    refusal = new Refusal("protocol_error", wrong);
    farewell.soon(lastWordsMs);
    return [bytes, marks.mark(replyLine(`-ERR Protocol error: sallyport: ${wrong}`))];
  };
  const replies: Tap = (chunk) => {
    const bytes = marks.replies(chunk);
    if (statements !== null && bytes.length > 0 && !statements.replies(bytes)) {
      refusal ??= new Refusal("upstream_refused", "the upstream's replies are not Redis's");
      throw refusal;
    }
    if (refusal !== null && !marks.waiting) farewell.now();
    return [bytes];
  };
  const taps: Taps = {
    left: commands,
    get right() {
      return statements !== null || marks.waiting ? replies : undefined;
    },
  };
  try {
    if (statements === null) await session.relay(upstream, taps);
    else await session.carry(new AuditedClient(session.client, statements), upstream, taps);
  } catch (error) {
    throw refusal ?? error;
  } finally {
    farewell.done();
    statements?.over();
  }
  if (refusal !== null) throw refusal;
}
