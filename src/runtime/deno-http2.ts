import type { Connection } from "../types.ts";
import { FrameFilter } from "../wire/http2-frames.ts";

const goaway = 7;

/**
 * A client's HTTP/2 without its GOAWAY. Deno's HTTP/2 (2.9.6) frees streams twice where that comes while some are
 * open, and the process ends. To a server that pushes nothing it says nothing: a client that goes also closes.
 */
export function withoutGoaway(connection: Connection): Connection {
  const filter = new FrameFilter(new Set([goaway]));
  const ready: Uint8Array[] = [];
  return {
    get remote() {
      return connection.remote;
    },
    get local() {
      return connection.local;
    },
    get bytesRead() {
      return connection.bytesRead;
    },
    get bytesWritten() {
      return connection.bytesWritten;
    },
    closed: connection.closed,
    async read() {
      for (;;) {
        const part = ready.shift();
        if (part !== undefined) return part;
        const chunk = await connection.read();
        if (chunk === null) return null;
        ready.push(...filter.take(chunk));
      }
    },
    unread: (bytes) => void ready.unshift(bytes),
    write: (bytes) => connection.write(bytes),
    closeWrite: () => connection.closeWrite(),
    abort: (how) => connection.abort(how),
  };
}
