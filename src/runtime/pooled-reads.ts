import type { OnReadOpts } from "node:net";

const bytes = 64 * 1024;
/** A read of at least this much is the middle of something large. */
const bulk = 16 * 1024;

// Reads happen one at a time, so that one buffer serves every connection that says little.
const shared = Buffer.allocUnsafeSlow(bytes);

/** Of little, copies have a part each of the same memory, which costs least. */
const littleBytes = 4 * 1024;
const copiesBytes = 8 * littleBytes;
let copies = Buffer.allocUnsafeSlow(copiesBytes);
let copiesMemory = copies.buffer;
let copiesUsed = 0;

/** A copy of what stands first in a buffer. */
export function copied(from: Buffer, count: number): Uint8Array {
  if (count > littleBytes) return new Uint8Array(from.buffer.slice(from.byteOffset, from.byteOffset + count));
  if (copiesUsed + count > copiesBytes) {
    copies = Buffer.allocUnsafeSlow(copiesBytes);
    copiesMemory = copies.buffer;
    copiesUsed = 0;
  }
  from.copy(copies, copiesUsed, 0, count);
  const copy = new Uint8Array(copiesMemory, copiesUsed, count);
  copiesUsed += count;
  return copy;
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
