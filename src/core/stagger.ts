/** Clients that come back elsewhere need a handshake there: no more than a hundred a second, where time allows. */
const gapMs = 10;

/** How long it takes to go through so many of them: no longer than `withinMs`. */
export const spanOf = (count: number, withinMs: number): number => Math.min(count * gapMs, withinMs);

/** Calls `tell` for each of them, evenly over so many milliseconds, then `done`. Gives what puts an end to it. */
export function stagger<T>(
  all: readonly T[],
  overMs: number,
  tell: (one: T) => void,
  done: () => void = () => {},
): () => void {
  const started = performance.now();
  let told = 0;
  let timer: ReturnType<typeof setInterval> | undefined;
  const turn = (): void => {
    const passed = performance.now() - started;
    const due = passed >= overMs ? all.length : Math.ceil((passed / overMs) * all.length);
    for (const one of all.slice(told, due)) tell(one);
    told = Math.max(told, due);
    if (told < all.length) return;
    clearInterval(timer);
    done();
  };
  if (all.length > 0 && overMs > 0) timer = setInterval(turn, gapMs);
  turn();
  return () => clearInterval(timer);
}
