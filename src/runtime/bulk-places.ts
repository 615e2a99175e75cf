/** How much is read at once at most. */
export const placeBytes = 64 * 1024;
/** A read of at least this much is the middle of something large. */
export const bulk = 16 * 1024;

/** So many are kept for the next connection that becomes busy. */
const kept = 32;

// Reads happen one at a time, so that one buffer serves every connection that says little: its chunks are copies.
export const sharedPlace = Buffer.allocUnsafeSlow(placeBytes);

const free: Uint8Array[] = [];

/** A buffer of one's own. */
export const ownPlace = (): Uint8Array => free.pop() ?? new Uint8Array(placeBytes);

/** It is nobody's any more: neither a handle nor a chunk that somebody has points there. */
export function giveBack(place: Uint8Array): void {
  if (free.length < kept) free.push(place);
}
