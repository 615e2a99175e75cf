import type { SharedState } from "../state/state.ts";
import type { JoinTokenStore } from "./join-token.ts";
import { EnrolmentRefusal } from "./refusal.ts";

/** A token that is over is refused for that: until then it is known that it was used, however clocks differ. */
const skewMs = 3_600_000;
const tryAgainSeconds = 5;

/**
 * Tokens of routers that have each a copy of the authority's folder: good once at all of them together. While nobody
 * can tell whether one was used elsewhere, none is taken.
 */
export const sharedTokens = (own: JoinTokenStore, state: Pick<SharedState, "takeOnce">): JoinTokenStore => ({
  find: (hash) => own.find(hash),
  spend: async (hash) => {
    const found = await own.find(hash);
    if (found === null || found.spent) return false;
    const lastsMs = Math.max(1, found.record.expires - Date.now()) + skewMs;
    const isFirst = await state.takeOnce(`join token ${hash}`, lastsMs).catch(() => {
      const detail = "join_token: whether it was used at another router can't be told just now; try again";
      throw new EnrolmentRefusal("upstream_unreachable", detail, tryAgainSeconds);
    });
    return isFirst && (await own.spend(hash));
  },
});
