/** Of which second the text was put together last. */
let second = Number.NaN;
let upToItsPoint = "";

/** Now, as `Date.prototype.toISOString` says it, which asks V8's calendar of time zones each time: every record has it. */
export function nowText(): string {
  const now = Date.now();
  const its = Math.floor(now / 1000);
  if (its !== second) {
    second = its;
    upToItsPoint = new Date(its * 1000).toISOString().slice(0, -"000Z".length);
  }
  // Joined rather than added, so that it is in one piece: see `connectionId`.
  return [upToItsPoint, String(now - its * 1000).padStart(3, "0"), "Z"].join("");
}
