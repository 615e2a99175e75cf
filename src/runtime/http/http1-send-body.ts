import { Refusal } from "../../errors.ts";
import type { HttpClientRequest } from "../../http/exchange.ts";
import { headText } from "../../wire/http1/head-text.ts";
import type { Outlet } from "./outlet.ts";

const wrongLength = (): Refusal =>
  new Refusal("protocol_error", "the body is not as long as its Content-Length says");

/** Ends a body that is sent in chunks (RFC 9112 §7.1). */
const lastChunk = ({ trailers }: HttpClientRequest): string => headText("0", trailers?.() ?? []);

/**
 * Sends a request's head, unless it is out already, and its body as it comes. Throws where the source breaks or is not
 * as long as was announced.
 *
 * @param length as announced; `null`: in chunks
 * @param isOver whether nobody needs the rest
 */
export async function sendBody(
  outlet: Outlet,
  request: HttpClientRequest,
  head: string,
  length: number | null,
  isOver: () => boolean,
): Promise<void> {
  let unsent = head;
  // Whoever says nothing for now has begun all the same: the head must not wait for the first word.
  const patience = setImmediate(() => {
    if (unsent === "" || isOver()) return;
    outlet.writeText(unsent);
    unsent = "";
  });
  let sent = 0;
  try {
    for await (const chunk of request.body ?? []) {
      if (isOver()) return;
      // A chunk of no bytes would be the last one.
      if (chunk.length === 0) continue;
      sent += chunk.length;
      if (length !== null && sent > length) throw wrongLength();
      const before = length === null ? `${unsent}${chunk.length.toString(16)}\r\n` : unsent;
      unsent = "";
      outlet.writeParts(before, chunk, length === null ? "\r\n" : "");
      const room = outlet.room();
      if (room !== null) await room;
    }
  } finally {
    clearImmediate(patience);
  }
  if (isOver()) return;
  if (length !== null && sent !== length) throw wrongLength();
  const rest = length === null ? unsent + lastChunk(request) : unsent;
  if (rest !== "") outlet.writeText(rest);
}
