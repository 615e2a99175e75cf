import { deadline } from "../../core/deadline.ts";
import type { Connection } from "../../types.ts";

/** How long a client may take to leave once it was told; and how long again once our half is closed. */
const patienceMs = 1000;
const maxUnread = 256 * 1024;

/**
 * Says a last word and waits for the client to leave by itself. OpenSSH does, when it has read why; but where its own
 * next packet finds the way to us closed before that, it says "Broken pipe" instead.
 *
 * @param reading settles once nobody else reads from the client
 */
export async function farewell(
  client: Connection,
  word: Uint8Array,
  reading: Promise<unknown>,
): Promise<void> {
  const close = deadline(patienceMs, () => void client.closeWrite().catch(() => {}));
  const cut = deadline(2 * patienceMs, () => client.abort());
  try {
    await client.write(word);
    await reading;
    for (let seen = 0; seen < maxUnread; ) {
      const chunk = await client.read();
      if (chunk === null) break;
      seen += chunk.length;
    }
    await client.closeWrite();
  } catch {
    // It did not wait to hear it.
  } finally {
    close.cancel();
    cut.cancel();
  }
}
