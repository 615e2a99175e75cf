import { after } from "node:test";

const ends: (() => unknown)[] = [];

/**
 * Ends something when the spec's file is through, whatever became of its tests: what a failed one leaves open would
 * otherwise keep the process, and everybody behind it, waiting. What has ended already must not mind.
 */
export function atEnd(end: () => unknown): void {
  ends.push(end);
}

after(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});
