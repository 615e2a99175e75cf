import type { LimitSettings } from "./limits/limits.ts";
import { MemoryBound } from "./limits/memory-bound.ts";
import type { Log } from "./observe/log.ts";
import { collectGarbage, memoryToHave, residentMemory } from "./runtime/memory.ts";

/** Of what there is to have: the rest is for the kernel's buffers, and for what comes between two looks. */
const usualPart = 0.8;
/** Of a process, unless asked for: a runtime alone takes half of it, whose pages are shared for the most part. */
const leastUsual = 256 * 1024 ** 2;

/** What each of some processes may have, bytes, where there is so much to have for all. */
export const boundOf = (memory: number | "auto", processes: number, toHave: number): number =>
  Math.floor(memory === "auto" ? Math.max(leastUsual, (toHave * usualPart) / processes) : memory / processes);

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
  const bytes = boundOf(memory, processes, memoryToHave());
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
