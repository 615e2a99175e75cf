import { inspect } from "../../core/inspect.ts";
import { lingeringClose } from "../../core/linger.ts";
import type { Clear, Handler, Opening } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import { beginsAsPostgres, parsePostgresOpening } from "../../wire/postgres.ts";
import type { CancelKeys } from "./cancel-keys.ts";
import { refusal, states, type ToldRefusal, violation } from "./refusal.ts";
import { parseCancel } from "./wire.ts";

const yes = Uint8Array.of(0x53); // S
const not = Uint8Array.of(0x4e); // N

async function tell(client: Connection, told: ToldRefusal): Promise<never> {
  await lingeringClose(client, told.packet);
  throw told;
}

/**
 * What clients say in the clear: that they want GSSAPI encryption (no), that they want TLS (yes), that something be
 * cancelled. Nothing else is for the clear.
 *
 * @param handler of those who go on with TLS
 */
export const clearOpening = (keys: CancelKeys, handler: Handler): Opening => ({
  begins: beginsAsPostgres,

  async lead(client, { source }: Clear) {
    for (let questions = 0; ; questions++) {
      const first = await inspect(client, parsePostgresOpening);
      if (first.kind === "closed" || (first.kind === "ok" && first.value === "end"))
        throw new Refusal("client_closed", "closed before it said what it wants of Postgres");
      if (first.kind === "no") return tell(client, violation(first.detail));
      // Whatever came behind it must not count as said inside TLS, nor be mistaken for it (CVE-2021-23222).
      if (first.used < first.head.length)
        return tell(client, violation("bytes behind the first message, in front of the TLS handshake"));
      if (first.value === "ssl") {
        await client.write(yes);
        return handler;
      }
      if (first.value === "startup") {
        const sentence = "this port wants TLS: connect with sslmode=verify-full";
        return tell(client, refusal("not_tls", states.unauthorized, sentence));
      }
      if (first.value === "cancel") {
        const key = parseCancel(first.head);
        if (key.kind === "ok") {
          const asking = { source: source.address, route: null, identity: null };
          if (await keys.cancel(key.value, asking, Date.now())) return null;
        }
        throw new Refusal("identity_not_allowed", "a request to cancel what is not this client's to cancel");
      }
      // Clients ask once, and begin anew with TLS or without.
      if (questions > 0) return tell(client, violation("GSSAPI encryption was asked for before"));
      await client.write(not);
    }
  },
});
