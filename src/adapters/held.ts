import type { Visitor } from "../core/gate.ts";
import type { Session } from "../core/session.ts";
import { Refusal } from "../errors.ts";
import type { Cancellation } from "../http/exchange.ts";

/** A request for somebody whose right to it may end before the request does. */
export interface Held {
  /** Aborted when the client goes away, or the visitor may no longer. */
  readonly signal: AbortSignal;
  release(): void;
}

export const loginOver = new Refusal("client_cert_expired", "the login is over, or denied");

export function holdFor(visitor: Visitor, client: Cancellation, session: Session): Held {
  const ended = new AbortController();
  const gone = (): void => ended.abort();
  client.addEventListener("abort", gone, { once: true });
  if (client.aborted) gone();
  const callOff = visitor.hold(() => {
    session.note(loginOver);
    gone();
  });
  return {
    signal: ended.signal,
    release: () => {
      callOff();
      client.removeEventListener("abort", gone);
    },
  };
}
