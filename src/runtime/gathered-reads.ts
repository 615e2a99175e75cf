import type { OnReadOpts } from "node:net";
import { copied } from "./pooled-reads.ts";

/** What TLS hands over at most at once: the content of a record (RFC 8446 §5.1). */
export const recordBytes = 16 * 1024;
const record = recordBytes;
/** What is handed over at once, and a record more: a large write of the peer's may end with a few bytes. */
const large = 16 * record;
const roomy = large + record;

// Reads happen one at a time, so that one buffer serves every connection that says little.
const shared = Buffer.allocUnsafeSlow(record);
/** One that nobody needs any more, for the next connection that becomes busy. */
let spare: Uint8Array<ArrayBuffer> | null = null;

/** Reads of a TLS socket, as the socket wants to have them. */
export interface GatheredReads extends OnReadOpts {
  buffer: () => Uint8Array;
  /** For a socket that has no place for the above: a chunk that it handed over itself. */
  copy(chunk: Uint8Array): void;
  /** Hands over what was gathered. To be called before the end of the stream is told. */
  flush(): void;
}

/**
 * Where a TLS socket's reads go on Node, which hands over every record by itself, in a buffer of its own: 16 KiB, an
 * event and a write each. Here full records land one behind the other in one buffer, and what came in one turn of the
 * event loop is one chunk. A record that is not full is handed over at once, with what came before it.
 *
 * @param take is given each chunk, and says whether it needs the bytes no more
 */
export function gatheredReads(take: (chunk: Uint8Array) => boolean): GatheredReads {
  let buffer: Uint8Array<ArrayBuffer> = shared;
  /** What is gathered and not yet handed over. */
  let start = 0;
  let end = 0;
  /** Whether nobody needs what was handed over: the buffer may be filled from its beginning again. */
  let free = true;
  let due = false;

  const flush = (): void => {
    if (start === end) return;
    const chunk = buffer.subarray(start, end);
    start = end;
    free = take(chunk) && free;
  };
  const turnOver = (): void => {
    due = false;
    flush();
  };
  const change = (next: Uint8Array<ArrayBuffer>): void => {
    if (free && buffer !== shared) spare = buffer;
    buffer = next;
    start = 0;
    end = 0;
    free = true;
  };
  const fresh = (): Uint8Array<ArrayBuffer> => {
    // Read only where something was written: no need to fill it first.
    const next = spare ?? new Uint8Array(Buffer.allocUnsafeSlow(roomy).buffer);
    spare = null;
    return next;
  };

  const place = (): Uint8Array => {
    if (buffer.length - end < record) flush();
    if (start === end && free) {
      start = 0;
      end = 0;
    }
    if (buffer.length - end < record) change(fresh());
    return end === 0 ? buffer : buffer.subarray(end);
  };
  /** All but the last record is handed over: it is not the end of what comes before, but the beginning of more. */
  const begin = (last: Uint8Array): void => {
    end -= last.length;
    flush();
    if (!free) change(fresh());
    buffer.set(last);
    start = 0;
    end = last.length;
  };

  const filled = (count: number, into: Uint8Array): boolean => {
    if (buffer === shared) {
      take(copied(shared, count));
      // More of the like is to come: from now on in a buffer of its own.
      if (count === record) change(fresh());
      return true;
    }
    // The socket may have been given its place before a flush: where the bytes are, their view says.
    const at = into.byteOffset - buffer.byteOffset;
    if (start === end) start = at;
    end = at + count;
    if (count === record && end - start > large) begin(into.subarray(0, count));
    if (count < record) {
      flush();
      change(shared);
    } else if (!due) {
      due = true;
      setImmediate(turnOver);
    }
    return true;
  };

  return {
    flush,
    buffer: place,
    callback: filled,
    copy: (chunk) => {
      if (chunk.length > record || (buffer === shared && chunk.length < record)) {
        flush();
        take(chunk);
        return;
      }
      const into = place();
      into.set(chunk);
      filled(chunk.length, into);
    },
  };
}
