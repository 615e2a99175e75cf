import type { Route } from "./route.ts";

/** How a connection came to the router. */
export interface Arrival {
  /** The route whose own listener accepted it; `null` on the one port. */
  readonly own: Route | null;
  /** For the record: the listener's `address:port`, behind `tunnel:` where it came through a connection upgrade. */
  readonly listener: string;
  /** Inside a WebSocket, whose own connection is another visit. */
  readonly tunnelled: boolean;
}
