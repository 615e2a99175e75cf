/** What a choice is made by. */
export interface Candidate {
  /** Requests under way. */
  readonly active: number;
  readonly isOut: boolean;
  /** Until when, where it is out. */
  readonly outUntil: number;
}

/**
 * Which server takes the next request: of those that are not out the one with the fewest requests under way, in turns
 * where several have. Where all are out, the one that has been longest: to try is better than to refuse.
 *
 * @param turn counts requests
 * @param room requests that a server may have under way
 * @returns its place in the list, or why there is none
 */
export function choose(
  candidates: readonly Candidate[],
  turn: number,
  room: number,
  tried: ReadonlySet<number>,
): number | "none left" | "all busy" {
  let best: number | "none left" | "all busy" = "none left";
  const better = (a: Candidate, b: Candidate): boolean =>
    a.isOut === b.isOut ? (a.isOut ? a.outUntil < b.outUntil : a.active < b.active) : !a.isOut;
  for (let i = 0; i < candidates.length; i++) {
    const at = (turn + i) % candidates.length;
    const one = candidates[at];
    if (one === undefined || tried.has(at)) continue;
    if (one.active >= room) {
      if (best === "none left") best = "all busy";
      continue;
    }
    const leader = typeof best === "number" ? candidates[best] : undefined;
    if (leader === undefined || better(one, leader)) best = at;
  }
  return best;
}
