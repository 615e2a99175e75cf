import type { Adapter } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import { Exchange } from "./exchange.ts";

/** From the dialled upstream to the second of the two identifications. */
const identificationMs = 30_000;

/**
 * SSH: sees that both sides speak it, notes with which software, and carries the rest untouched.
 *
 * @param withinMs how long both sides together may take to say that they speak it, in milliseconds
 */
export const sshAdapter = (withinMs = identificationMs): Adapter => ({
  name: "ssh",
  async handle(session) {
    const exchange = new Exchange(session);
    let upstream: Connection;
    try {
      upstream = await session.dial();
      await exchange.run(upstream, withinMs);
    } catch (error) {
      if (error instanceof Refusal) await exchange.tell(error);
      throw error;
    }
    await session.relay(upstream);
  },
  refuse: (session, refusal) => new Exchange(session).tell(refusal),
});
