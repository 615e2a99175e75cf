import type { LimitSettings } from "./limits/limits.ts";
import { MemoryBound } from "./limits/memory-bound.ts";
import type { Log } from "./observe/log.ts";
import { collectGarbage, memoryToHave, residentMemory } from "./runtime/memory.ts";

/** Of what there is to have: the rest is for the kernel's buffers, and for what comes between two looks. */
const usualPart = 0.8;

/**
 * Watches the memory of this process; `null` where that has no bound.
 *
 * @param processes that share what there is
 * @param open connections that are open
 */
export function watchMemory(
  { memory }: LimitSettings,
  processes: number,
  open: () => number,
  log: Log,
): MemoryBound | null {
  if (memory === null) return null;
  const bytes = Math.floor((memory === "auto" ? memoryToHave() * usualPart : memory) / processes);
  return new MemoryBound({
    bytes,
    resident: residentMemory,
    collect: collectGarbage,
    open,
    told: (reached, resident) => {
      const numbers = { resident, bound: bytes, connections: open() };
      if (reached)
        log.warn("memory is at its bound (SALLYPORT_MAX_MEMORY): new connections are refused", numbers);
      else log.info("memory is below its bound again", numbers);
    },
  });
}
