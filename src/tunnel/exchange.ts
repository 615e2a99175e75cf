import { deadline } from "../core/deadline.ts";
import { inspect } from "../core/inspect.ts";
import { Refusal } from "../errors.ts";
import type { Connection } from "../types.ts";
import type { Parsed } from "../wire/cursor.ts";

/**
 * The peer's next message; what follows it is put back. Throws a `Refusal` where none comes in time, or another thing.
 *
 * @param who for messages
 */
export async function receive<T>(
  connection: Connection,
  parse: (bytes: Uint8Array) => Parsed<T>,
  withinMs: number,
  who: string,
): Promise<T> {
  let isLate = false;
  const late = deadline(withinMs, () => {
    isLate = true;
    connection.abort();
  });
  try {
    const found = await inspect(connection, parse);
    if (found.kind === "ok") {
      connection.unread(found.head.subarray(found.used));
      return found.value;
    }
    throw new Refusal(
      "protocol_error",
      `${who} ${found.kind === "no" ? `sent ${found.detail}` : "said nothing"}`,
    );
  } catch (error) {
    if (isLate) throw new Refusal("upstream_unreachable", `${who} did not answer within ${withinMs} ms`);
    throw error;
  } finally {
    late.cancel();
  }
}
