import { joined } from "../../wire/joined.ts";
import { request } from "../../wire/redis.ts";

/** What servers say of a command they don't know; a quote of one kind or another and the command follow. */
const unknown = new TextEncoder().encode("-ERR unknown command ");
const prefix = "SALLYPORT-";
const markBytes = prefix.length + 32;
const nameAt = unknown.length + 1;
/** How much more of the line there may be: the command's arguments, of which it has none. */
const maxRest = 128;
const dash = 0x2d;
const lf = 0x0a;

/** So many answers of ours may be on their way at once: more than that is no client. */
const maxWaiting = 256;
const empty = new Uint8Array(0);

/**
 * Puts replies of ours in their places among the upstream's. A command that we answer goes upstream as one that no
 * server knows, under a name that nobody can guess. The server's complaint about it comes back in the right place,
 * whatever else is under way (pipelines, transactions, messages, a client that wants no replies at all), and becomes
 * our answer. Of the stream of replies nothing needs to be understood, and while no answer of ours is on its way
 * nothing is looked at.
 */
export class Marks {
  readonly #waiting = new Map<string, Uint8Array>();
  /** The end of what came, where it may be the beginning of a complaint; no answer is whole that ends so. */
  #held: Uint8Array = empty;

  /** The command that goes upstream so that `reply` comes back. */
  mark(reply: Uint8Array): Uint8Array {
    const random = crypto.getRandomValues(new Uint8Array(16));
    const hex = [...random].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    const name = prefix + hex.toUpperCase();
    this.#waiting.set(name, reply);
    return request([name]);
  }

  get waiting(): boolean {
    return this.#waiting.size > 0;
  }

  get tooMany(): boolean {
    return this.#waiting.size > maxWaiting;
  }

  /** What the client gets for these bytes of the upstream. */
  replies(chunk: Uint8Array): Uint8Array {
    if (this.#waiting.size === 0) return chunk;
    const data = this.#held.length === 0 ? chunk : joined([this.#held, chunk]);
    this.#held = empty;
    const out: Uint8Array[] = [];
    let from = 0;
    let at = 0;
    while (this.#waiting.size > 0) {
      at = data.indexOf(dash, at);
      if (at < 0) break;
      const end = this.#complaint(data, at);
      if (end === "more") {
        this.#held = data.slice(at);
        out.push(data.subarray(from, at));
        return joined(out);
      }
      if (end === null) at++;
      else {
        const name = nameIn(data, at);
        out.push(data.subarray(from, at), this.#waiting.get(name) ?? empty);
        this.#waiting.delete(name);
        at = end;
        from = end;
      }
    }
    out.push(data.subarray(from));
    return out.length === 1 ? data.subarray(from) : joined(out);
  }

  /** Where the complaint ends that begins here; `null` where there is none, or of somebody else's command. */
  #complaint(data: Uint8Array, at: number): number | "more" | null {
    for (let i = 0; i < unknown.length; i++) {
      if (at + i >= data.length) return "more";
      if (data[at + i] !== unknown[i]) return null;
    }
    const name = nameIn(data, at);
    if (name.length === markBytes ? !this.#waiting.has(name) : !this.#mayBecome(name)) return null;
    if (name.length < markBytes) return "more";
    const end = data.subarray(at, at + nameAt + markBytes + maxRest).indexOf(lf);
    if (end >= 0) return at + end + 1;
    return data.length - at >= nameAt + markBytes + maxRest ? null : "more";
  }

  #mayBecome(start: string): boolean {
    for (const name of this.#waiting.keys()) if (name.startsWith(start)) return true;
    return false;
  }
}

const nameIn = (data: Uint8Array, at: number): string =>
  String.fromCharCode(...data.subarray(at + nameAt, at + nameAt + markBytes));
