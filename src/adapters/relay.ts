import type { Adapter } from "../core/session.ts";

/**
 * Dials, then carries bytes both ways: all there is to `tls` (which hands on the ClientHello too) and `tcp`, and to
 * protocols whose upstreams ask clients for their credentials themselves.
 */
export const relayAdapter = (name: string): Adapter => ({
  name,
  async handle(session) {
    await session.relay(await session.dial());
  },
});
