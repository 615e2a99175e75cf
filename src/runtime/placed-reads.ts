import type { OnReadOpts } from "node:net";
import type { TLSSocket } from "node:tls";

/** Where `node:net` keeps what `onread` says, by its symbols' names: the same from Node 20 to 26. */
interface Places {
  readonly buffer: symbol;
  readonly next: symbol;
  readonly taken: symbol;
}

interface Handle {
  useUserBuffer?(buffer: Uint8Array): void;
}

let known: Places | undefined;

function placesOf(socket: TLSSocket): Places | undefined {
  if (known !== undefined) return known;
  const symbols = new Map(Object.getOwnPropertySymbols(socket).map((each) => [each.description, each]));
  const [buffer, next, taken] = ["kBuffer", "kBufferGen", "kBufferCb"].map((name) => symbols.get(name));
  if (buffer !== undefined && next !== undefined && taken !== undefined) known = { buffer, next, taken };
  return known;
}

/**
 * Gives a TLS socket over another socket what `node:net` offers as `onread` to those alone that it connects itself: a
 * place for its reads. Otherwise each record of 16 KiB is a buffer, an event and some garbage of its own, which is up to a third
 * of what an upload costs. There is no public way (Node 20 to 26); where the private one is not as expected nothing is changed.
 *
 * @returns whether reads go there from now on; if not, they come as `data` events as ever
 */
export function placeReads(socket: TLSSocket, reads: OnReadOpts): boolean {
  const handle = (socket as { readonly _handle?: Handle | null })._handle;
  // What waits in the stream already comes as an event: nothing may overtake it.
  if (typeof handle?.useUserBuffer !== "function" || socket.readableLength > 0) return false;
  const places = placesOf(socket);
  const buffer = typeof reads.buffer === "function" ? reads.buffer() : reads.buffer;
  if (places === undefined) return false;
  Reflect.set(socket, places.taken, reads.callback);
  Reflect.set(socket, places.next, reads.buffer);
  Reflect.set(socket, places.buffer, buffer);
  handle.useUserBuffer(buffer);
  return true;
}
