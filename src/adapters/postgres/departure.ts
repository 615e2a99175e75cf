import type { Session } from "../../core/session.ts";
import type { Connection, Taps } from "../../types.ts";
import { postgresFatal } from "../../wire/postgres.ts";
import { Farewell } from "../farewell.ts";
import { states } from "./refusal.ts";
import { Turns } from "./turns.ts";
import { terminate } from "./wire.ts";

const goodbye = postgresFatal(
  states.shutdown,
  "sallyport: the router is about to end: terminating connection; connect again",
);

/**
 * Lets a session go when the router drains: where nothing is under way, at once, else at the end of its transaction.
 * The client is told as by a server that shuts down, and what it says afterwards goes nowhere.
 *
 * @param carry carries bytes both ways, past these taps
 */
export async function untilDeparture(
  session: Session,
  upstream: Connection,
  carry: (taps: Taps) => Promise<void>,
): Promise<void> {
  const { client, draining } = session;
  const turns = new Turns();
  const farewell = new Farewell(client, upstream);
  let left = false;
  const leave = (): void => {
    left = true;
    upstream.write(terminate).catch(() => {});
    farewell.now();
  };
  const asked = (): void => {
    if (!turns.atRest) return;
    leave();
    client.write(goodbye).catch(() => {});
  };
  const taps: Taps = {
    left: (chunk) => {
      if (left) return [];
      turns.client(chunk);
      return [chunk];
    },
    right: (chunk) => {
      if (left) return [];
      turns.server(chunk);
      if (!draining.aborted || !turns.atRest) return [chunk];
      leave();
      return [chunk, goodbye];
    },
  };
  draining.addEventListener("abort", asked, { once: true });
  if (draining.aborted) asked();
  try {
    await carry(taps);
  } catch (error) {
    if (!left) throw error;
  } finally {
    draining.removeEventListener("abort", asked);
    farewell.done();
  }
  if (left) session.movedOn("ended between two transactions");
}
