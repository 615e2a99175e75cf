import type { OnReadOpts } from "node:net";

const bytes = 64 * 1024;
/** A read of at least this much is the middle of something large. */
const bulk = 16 * 1024;

// Reads happen one at a time, so that one buffer serves every connection that says little.
const shared = Buffer.allocUnsafeSlow(bytes);

/** A copy of what stands first in a buffer; of little, in memory that others' copies have a part of, which costs least. */
export function copied(from: Buffer, count: number): Uint8Array {
  const copy = Buffer.allocUnsafe(count);
  from.copy(copy, 0, 0, count);
  // Not a Buffer, whose `slice` copies nothing.
  return new Uint8Array(copy.buffer, copy.byteOffset, count);
}

/**
 * Where a socket's reads go on Node, which would otherwise allocate 64 KiB for each: at full speed the
 * garbage collector then costs as much as the network. A quiet connection reads into a buffer that all
 * share, and its chunk is copied; a busy one gets a buffer of its own, used again and again as long as
 * whoever takes the chunks is done with them at once.
 */
export function pooledReads(take: (chunk: Uint8Array) => boolean): OnReadOpts {
  let spare: Uint8Array | null = null;
  let busy = false;
  return {
    buffer: () => {
      if (!busy) return shared;
      const buffer = spare ?? new Uint8Array(bytes);
      spare = null;
      return buffer;
    },
    callback: (count, buffer) => {
      if (buffer === shared) take(copied(shared, count));
      else if (take(buffer.subarray(0, count))) spare = buffer;
      busy = count >= bulk;
      if (!busy) spare = null;
      return true;
    },
  };
}
