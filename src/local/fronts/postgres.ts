import { inspect } from "../../core/inspect.ts";
import { lingeringClose } from "../../core/linger.ts";
import type { Connection } from "../../types.ts";
import { parsePostgresOpening, postgresFatal } from "../../wire/postgres.ts";
import { type Back, type Front, ToldClient } from "./front.ts";
import { withoutTls } from "./tls-first.ts";

const yes = Uint8Array.of(0x53); // S
const not = Uint8Array.of(0x4e); // N

/** `connection_failure`, `protocol_violation`, `invalid_authorization_specification` (PostgreSQL documentation, appendix A). */
const states = { unreachable: "08006", violation: "08P01", refused: "28000" } as const;

async function fatal(client: Connection, state: string, message: string): Promise<never> {
  await lingeringClose(client, postgresFatal(state, `sallyport: ${message}`));
  throw new ToldClient(message);
}

/** Past the client's questions for encryption, to the message that is for the server. */
async function toStartup(
  accepted: Connection,
  back: Back,
): Promise<{ readonly client: Connection; readonly opening: "startup" | "cancel" } | null> {
  let client = await withoutTls(accepted, back, ["postgresql"]);
  let secured = client !== accepted;
  while (client !== null) {
    const first = await inspect(client, parsePostgresOpening);
    if (first.kind === "closed" || (first.kind === "ok" && first.value === "end")) return null;
    if (first.kind === "no") return fatal(client, states.violation, first.detail);
    if (first.value === "startup" || first.value === "cancel") {
      client.unread(first.head);
      return { client, opening: first.value };
    }
    const rest = first.head.subarray(first.used);
    // What came behind the question in the clear must not count as said inside (CVE-2021-23222).
    if (rest.length > 0 || (first.value === "ssl" && secured))
      return fatal(client, states.violation, "bytes in front of the TLS handshake");
    if (first.value === "ssl") {
      await client.write(yes);
      client = await back.terminate(client, null);
      secured = true;
    } else await client.write(not);
  }
  return null;
}

/** Passes the startup message on. False when the server closes without a word to it: the router refuses. */
async function answers(client: Connection, server: Connection): Promise<boolean> {
  try {
    const startup = await client.read();
    if (startup !== null) await server.write(startup);
    const answer = await server.read();
    if (answer === null) return false;
    server.unread(answer);
    return true;
  } catch {
    return false;
  }
}

/** Answers SSLRequest and GSSENCRequest here; the rest, cancel requests too, is the server's. */
export const postgresFront: Front = {
  async open(accepted, back) {
    const begun = await toStartup(accepted, back);
    if (begun === null) return null;
    const { client, opening } = begun;
    let server: Connection;
    try {
      server = await back.dial();
    } catch (error) {
      return fatal(client, states.unreachable, error instanceof Error ? error.message : String(error));
    }
    // Its client waits for no answer to that, and gets none.
    if (opening === "cancel" || (await answers(client, server))) return [client, server];
    server.abort();
    return fatal(client, states.refused, await back.why());
  },
};
