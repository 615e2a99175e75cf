import { totalmem } from "node:os";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

declare const Bun: { gc(now: boolean): void };

/** Of this process, bytes. */
export const residentMemory = (): number => process.memoryUsage.rss();

/** What a process may have here, bytes: what the machine has, or its control group may, whichever is less. */
export function memoryToHave(): number {
  const bound = process.constrainedMemory();
  return bound > 0 ? Math.min(bound, totalmem()) : totalmem();
}

let collect: (() => void) | undefined;

/** Has the runtime look for what nobody needs any more. Takes as long as that takes. */
export function collectGarbage(): void {
  if ("Bun" in globalThis) {
    Bun.gc(true);
    return;
  }
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
  }
  collect();
}
