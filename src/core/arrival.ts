import type { Route } from "./route.ts";

/** How a connection came to the router. */
export interface Arrival {
  /** The route whose own listener accepted it; `null` on the one port. */
  readonly own: Route | null;
  /** The adapter whose routes alone this listener serves, in the clear up to the ClientHello; `null`: any. */
  readonly only: string | null;
  /** For the record: the listener's `address:port`, behind `tunnel:` where it came through a connection upgrade. */
  readonly listener: string;
  /** Inside a WebSocket, whose own connection is another visit. */
  readonly tunnelled: boolean;
}
