import type { Adapter } from "../core/session.ts";

/** Dials, then carries bytes both ways: all there is to `tls` (which hands on the ClientHello too) and `tcp`. */
export const relayAdapter = (name: string): Adapter => ({
  name,
  handle: (session) => session.forward(),
});
