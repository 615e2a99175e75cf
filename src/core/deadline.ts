/**
 * Thousands of deadlines on one interval. Every connection has several (handshake, idle, half-close),
 * nearly all are cancelled before they fire, and a second's quarter of lateness harms none of them: so
 * starting and cancelling one is a Set operation and nothing else.
 */
const tickMs = 250;

export interface Deadline {
  cancel(): void;
}

class Entry implements Deadline {
  readonly at: number;
  readonly fire: () => void;

  constructor(at: number, fire: () => void) {
    this.at = at;
    this.fire = fire;
  }

  cancel(): void {
    entries.delete(this);
  }
}

const entries = new Set<Entry>();
let interval: ReturnType<typeof setInterval> | undefined;
// Read once a tick: asking the clock is dear beside the rest of starting a deadline.
let now = 0;

function tick(): void {
  now = performance.now();
  for (const entry of entries) {
    if (entry.at > now) continue;
    entries.delete(entry);
    entry.fire();
  }
  if (entries.size > 0) return;
  clearInterval(interval);
  interval = undefined;
}

/** Calls `fire` once, not before `ms` have passed and at most about half a second later. */
export function deadline(ms: number, fire: () => void): Deadline {
  if (interval === undefined) {
    now = performance.now();
    interval = setInterval(tick, tickMs);
  }
  // `now` may be a tick old: a deadline must never be early.
  const entry = new Entry(now + tickMs + ms, fire);
  entries.add(entry);
  return entry;
}
