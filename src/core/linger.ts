import type { Refusal } from "../errors.ts";
import type { Connection } from "../types.ts";
import { deadline } from "./deadline.ts";
import type { Handler, Session } from "./session.ts";

const lingerMs = 1000;
const lingerBytes = 256 * 1024;

/**
 * Says a last word and closes so that the peer hears it: closing while bytes are unread would make the
 * kernel send a reset, which throws the last word away at the other end. Bounded in time and bytes.
 */
export async function lingeringClose(connection: Connection, lastWord?: Uint8Array): Promise<void> {
  const late = deadline(lingerMs, () => connection.abort());
  try {
    if (lastWord !== undefined) await connection.write(lastWord);
    await connection.closeWrite();
    let seen = 0;
    while (seen < lingerBytes) {
      const chunk = await connection.read();
      if (chunk === null) break;
      seen += chunk.length;
    }
  } catch {
    // The peer did not wait to hear it.
  }
  late.cancel();
  connection.abort();
}

/** Refuses in the protocol's own words where it has some; always an orderly end. */
export async function refuseInProtocol(handler: Handler, session: Session, refusal: Refusal): Promise<void> {
  try {
    await handler.refuse?.(session, refusal);
  } catch {
    // The refusal stands, whether or not the client heard it.
  }
  await lingeringClose(session.client);
}
