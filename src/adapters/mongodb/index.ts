import { deadline } from "../../core/deadline.ts";
import { inspect } from "../../core/inspect.ts";
import { lingeringClose } from "../../core/linger.ts";
import type { Adapter, Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import { MongodbAccess } from "./access.ts";
import { refusedReply } from "./answers.ts";
import { carryGoverned } from "./governed.ts";
import { Opening, told } from "./opening.ts";
import { parseAsked } from "./requests.ts";

/** How long a client that is refused may take to ask for something, so that it can be answered. */
const refusalMs = 5_000;

/** MongoDB: sees to who logs in as whom, and which databases they use. */
export const mongodbAdapter = (): Adapter => ({ name: "mongodb", handle, refuse });

async function handle(session: Session): Promise<void> {
  const access = new MongodbAccess(session);
  if (access.logsIn && session.identity === null) {
    const refusal = new Refusal(
      "client_cert_missing",
      "the router logs in only for clients with a certificate",
    );
    await refuse(session, refusal);
    await lingeringClose(session.client);
    throw refusal;
  }
  if (!access.governs) return session.relay(await session.dial());
  const opened = access.logsIn
    ? await new Opening(session, access).run()
    : { upstream: await session.dial(), user: null };
  if (opened !== null) await carryGoverned(session, access, opened);
}

/** Servers don't speak first: the refusal is the answer to whatever is asked. */
async function refuse(session: Session, refusal: Refusal): Promise<void> {
  const late = deadline(refusalMs, () => session.client.abort());
  try {
    const first = await inspect(session.client, (bytes) => parseAsked(bytes, () => true));
    if (first.kind === "ok" && first.value !== null)
      await session.client.write(refusedReply(first.value.header, told(refusal)));
  } finally {
    late.cancel();
  }
}
