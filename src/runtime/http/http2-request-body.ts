import { Refusal } from "../../errors.ts";
import type { HttpClientRequest } from "../../http/exchange.ts";
import { contentLength } from "./fields.ts";

interface Outgoing {
  readonly destroyed: boolean;
  write(chunk: Uint8Array): boolean;
  destroy(error?: Error): void;
  once(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
}

const room = (outgoing: Outgoing): Promise<void> =>
  new Promise((resolve) => {
    const go = (): void => {
      outgoing.off("drain", go);
      outgoing.off("close", go);
      resolve();
    };
    outgoing.once("drain", go);
    outgoing.once("close", go);
  });

/**
 * Streams a request's body; where its source breaks or is not as long as announced, the request is cut.
 *
 * @param end ends it, with what trailers there are by then
 */
export async function sendBody(
  request: HttpClientRequest,
  outgoing: Outgoing,
  end: () => void,
): Promise<void> {
  const length = contentLength(request.fields);
  let sent = 0;
  const wrong = (): Refusal =>
    new Refusal("protocol_error", "the body is not as long as its Content-Length says");
  try {
    for await (const chunk of request.body ?? []) {
      if (outgoing.destroyed) return;
      sent += chunk.length;
      if (length !== null && sent > length) throw wrong();
      if (!outgoing.write(chunk)) await room(outgoing);
    }
    if (length !== null && sent !== length) throw wrong();
    // Whoever asked may have gone meanwhile: nothing is begun for an answer that nobody waits for.
    if (!outgoing.destroyed) end();
  } catch (error) {
    outgoing.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}
