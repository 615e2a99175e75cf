import { z } from "zod";
import { acmeMap, SharedStore, type SharedStoreParts } from "./acme/shared-store.ts";
import type { AcmeStore } from "./acme/store.ts";
import type { Config } from "./config/load.ts";
import type { AdmissionControl, Caps } from "./core/admission.ts";
import type { JoinTokenStore } from "./enrolment/join-token.ts";
import { type RateLimit, tooMany } from "./enrolment/rate.ts";
import { sharedTokens } from "./enrolment/shared-tokens.ts";
import type { LimitSettings } from "./limits/limits.ts";
import type { Log } from "./observe/log.ts";
import type { Metrics } from "./observe/metrics.ts";
import { SharedRevocations } from "./revocation/shared.ts";
import { SharedCancels } from "./state/cancels.ts";
import { CapLeases } from "./state/leases.ts";
import { RedisState } from "./state/redis-state.ts";
import { SharedCaps } from "./state/shared-caps.ts";
import type { KnownValue } from "./state/state.ts";
import { SharedTickets } from "./state/tickets.ts";
import { Whereabouts } from "./state/whereabouts.ts";

/** For the state to be read before the router listens: where that takes longer it listens, and is not ready. */
const firstReadMs = 2000;

/** Other processes of this router serve meanwhile: one that knew less than they would refuse whom they admit. */
const mostTries = 10;
const betweenTriesMs = 500;

/** Sessions of browsers end by then by themselves. */
const longestLoginMs = 2 * 3_600_000;

/** What this process shares with routers of other machines. */
export interface Shared {
  readonly revocations: SharedRevocations;
  /** Caps and rates that hold for all routers, beside this one's own. */
  admission(own: AdmissionControl, caps: Caps, rates: LimitSettings): AdmissionControl;
  /** Counts requests that come to any router, beside those that come to this one. */
  rate(own: MakesRate): MakesRate;
  /** Join tokens, good once at all routers together. */
  tokens(own: JoinTokenStore): JoinTokenStore;
  readonly tickets: SharedTickets;
  /** Asks the router that has the session with that key to cancel what runs there. */
  readonly cancel: SharedCancels["cancel"];
  /** Says how that is done in sessions of this process. */
  answerCancels(own: SharedCancels["own"]): void;
  /** Which router has which agent. */
  readonly whereabouts: Whereabouts;
  /** What is kept of an ACME directory, by each router and told to the others. */
  acme(parts: SharedStoreParts): AcmeStore;
  /** Browsers' sessions that are over before their time. */
  readonly signedOut: { tell(id: string): void; hear(callback: (id: string) => void): void };
  /**
   * Connects; to be called once everybody has said what they want to hear.
   *
   * @param neighbours what other processes of this router know, should Redis be away; `null`: there are none
   */
  start(neighbours: Neighbours | null): Promise<void>;
  /** For the router's other processes; `null` where nothing was read yet. */
  known(): Iterable<KnownValue> | null;
  /** Resolves once what the others know was read: not before that is the router ready. */
  readonly read: Promise<void>;
  /** `null` when ready, otherwise why not. */
  unready(): string | null;
  /** For `/readyz`. */
  details(verbose: boolean): readonly string[];
  close(): Promise<void>;
}

/** The other processes of this router. */
export interface Neighbours {
  /** Hands over all that one of them knows, in parts; `no answer` where one that may know could not be asked. */
  tellKnown(
    learn: (values: readonly KnownValue[]) => Promise<void>,
  ): Promise<"told" | "nobody knows" | "no answer">;
}

type MakesRate = (perMinute: number, what: string) => RateLimit;

function sharedRate(state: RedisState, own: RateLimit, perMinute: number, what: string): RateLimit {
  return {
    take: async (key, now) => {
      await own.take(key, now);
      // Away: what this router counts is what holds.
      const rate = { perSecond: perMinute / 60, burst: perMinute };
      const after = await state.rate(`${what} ${key}`, rate).catch(() => null);
      if (after !== null) throw tooMany(perMinute, what, after);
    },
  };
}

/** @param peerAddress where routers of other machines reach this one */
export async function openShared(
  settings: NonNullable<Config["state"]>,
  peerAddress: Config["peerAddress"],
  log: Log,
  metrics: Metrics,
): Promise<Shared> {
  const state = await RedisState.open(settings, log);
  metrics.stateUp.set(0);
  metrics.stateLost.add(0);
  const leases = new CapLeases(state);
  const tickets = new SharedTickets(state);
  const cancels = new SharedCancels(state);
  const whereabouts = new Whereabouts(state, peerAddress);
  const acme = acmeMap(state);
  const signedOut = state.map("signed-out", z.literal(true));
  let up = false;
  const read = new Promise<void>((resolve) => {
    state.onChange(() => {
      if (state.wasRead) resolve();
    });
  });
  state.onChange(() => {
    const isUp = state.away === null;
    if (up && !isUp) metrics.stateLost.add(1);
    up = isUp;
    metrics.stateUp.set(up ? 1 : 0);
  });
  return {
    revocations: new SharedRevocations(state),
    admission: (own, caps, rates) => new SharedCaps(own, { ...caps, ...rates }, leases, state),
    rate: (own) => (perMinute, what) => sharedRate(state, own(perMinute, what), perMinute, what),
    tokens: (own) => sharedTokens(own, state),
    tickets,
    cancel: (key, asking) => cancels.cancel(key, asking),
    answerCancels: (own) => {
      cancels.own = own;
    },
    whereabouts,
    acme: (parts) => new SharedStore(state, acme, parts),
    signedOut: {
      tell: (id) => void signedOut.set(id, true, longestLoginMs),
      hear: (callback) =>
        signedOut.onChange((id, over) => {
          if (over === true) callback(id);
        }),
    },
    read,
    start: async (neighbours) => {
      leases.start();
      tickets.start();
      whereabouts.start();
      await state.start(firstReadMs);
      for (let tries = 0; !state.wasRead && neighbours !== null && tries < mostTries; tries++) {
        const answer = await neighbours.tellKnown((values) => state.learn(values));
        if (answer === "told") state.learnt();
        if (answer !== "no answer") return;
        await new Promise((resolve) => setTimeout(resolve, betweenTriesMs));
      }
    },
    known: () => state.known(),
    unready: () => (state.wasRead ? null : "the shared state was never read"),
    details: (verbose) => {
      const { away } = state;
      if (away === null) return verbose ? ["state: connected"] : [];
      const seconds = Math.round((Date.now() - away.since) / 1000);
      return [`state: away for ${seconds} s (${away.why}); going on with what is known`];
    },
    close: async () => {
      tickets.stop();
      await Promise.all([whereabouts.close(), leases.close()]);
      await state.close();
    },
  };
}
