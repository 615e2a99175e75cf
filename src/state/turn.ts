import { type SharedState, StateAway } from "./state.ts";

/** Said anew in a third of the time in which it would be over. */
const renewals = 3;

/** Something that one of all routers does at a time. */
export interface SharedTurn {
  /** Whether it is still this one's, by its own clock. */
  readonly holds: boolean;
  release(): void;
}

/**
 * Takes it; `null` while somebody else has it, and where there is no shared state to ask. That of a router that dies is
 * free after `leaseMs`. One at a time for each name and process.
 */
export async function takeSharedTurn(state: SharedState, name: string): Promise<SharedTurn | null> {
  let until = 0;
  let over = false;
  const ask = async (): Promise<void> => {
    const asked = performance.now();
    // A place under a cap of one: where it is another's by now, nothing is granted.
    const granted = await state.lease(name, () => 0, 1, 1);
    if (granted === 0) over = true;
    else until = asked + state.leaseMs;
  };
  try {
    await ask();
  } catch (error) {
    if (error instanceof StateAway) return null;
    throw error;
  }
  if (over) return null;
  const holds = (): boolean => !over && performance.now() < until;
  const renew = setInterval(() => {
    // Once it may be somebody else's it is not to be had back.
    if (holds()) void ask().catch(() => {});
    else over = true;
  }, state.leaseMs / renewals);
  return {
    get holds() {
      return holds();
    },
    release: () => {
      clearInterval(renew);
      if (!holds()) return;
      over = true;
      void state.hold([name], () => 0).catch(() => {});
    },
  };
}
