import { lingeringClose } from "../../core/linger.ts";
import type { Adapter, Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import { replyLine } from "../../wire/redis.ts";
import { RedisAccess } from "./access.ts";
import { carryGoverned } from "./governed.ts";
import { errorOf, Opening } from "./opening.ts";

/** Redis and Valkey, and what speaks as they do: sees to who logs in as whom, and which database they use. */
export const redisAdapter = (): Adapter => ({
  name: "redis",
  handle,
  refuse: (session, refusal) => session.client.write(replyLine(errorOf(refusal))),
});

async function handle(session: Session): Promise<void> {
  const access = new RedisAccess(session);
  if (access.logsIn && session.identity === null) {
    const refusal = new Refusal(
      "client_cert_missing",
      "the router logs in only for clients with a certificate",
    );
    await lingeringClose(session.client, replyLine(errorOf(refusal)));
    throw refusal;
  }
  const opened = await new Opening(session, access).run();
  if (opened === null) return;
  return access.governs ? carryGoverned(session, access, opened) : session.relay(opened.upstream);
}
