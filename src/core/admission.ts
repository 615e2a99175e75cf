import { Refusal } from "../errors.ts";

export interface Caps {
  readonly connections: number;
  readonly perSource: number;
  readonly perIdentity: number;
}

/** For the process's own needs: files it reads again, names it looks up, health checks. */
const reservedFiles = 32;

/**
 * How many connections a process has room for, one socket to the client and one to the upstream each. A
 * router that runs out of files can't even refuse: some systems wake it for a connection that it can't
 * accept, again and again.
 */
export const connectionRoom = (files: { readonly limit: number; readonly open: number }): number =>
  Math.max(1, Math.floor((files.limit - files.open - reservedFiles) / 2));

interface Source {
  readonly address: string;
  count: number;
  readonly halfOpen: Set<Place>;
}

/** One connection's place under the caps, taken at accept and given back when it ends. */
export interface Place {
  /** Once the source address is known (a PROXY header may bring it). Throws when it has too many. */
  enterSource(address: string): void;
  /** Once the identity is known, by a key that names it. Throws when it has too many. */
  enterIdentity(key: string): void;
  /** The handshake is over: no newer connection takes this place any more. */
  established(): void;
  leave(): void;
}

/**
 * Counts connections against the caps. A connection whose handshake is not over is half-open; where a
 * cap is reached, the oldest half-open one gives way to the new one, so that a crowd that connects and
 * says nothing cannot keep others out. With none to evict the new one is refused.
 */
export class Admission {
  readonly #caps: Caps;
  readonly #sources = new Map<string, Source>();
  readonly #identities = new Map<string, number>();
  readonly #halfOpen = new Set<Place>();
  readonly #evict = new Map<Place, (refusal: Refusal) => void>();
  #connections = 0;

  constructor(caps: Caps) {
    this.#caps = caps;
  }

  /**
   * At accept. Throws a `limit_reached` refusal when there is no room. `evict` is called when a newer
   * connection takes this one's place; it must end the connection, which then leaves as usual.
   */
  enter(evict: (refusal: Refusal) => void): Place {
    if (this.#connections >= this.#caps.connections && !this.#makeRoom(this.#halfOpen)) {
      throw new Refusal("limit_reached", `${this.#caps.connections} connections are open`);
    }
    this.#connections++;
    let source: Source | undefined;
    let identity: string | undefined;
    const place: Place = {
      enterSource: (address) => {
        const entered = this.#source(address);
        if (entered.count >= this.#caps.perSource && !this.#makeRoom(entered.halfOpen)) {
          throw new Refusal("limit_reached", `${this.#caps.perSource} connections are open from ${address}`);
        }
        source = entered;
        source.count++;
        this.#sources.set(address, source);
        source.halfOpen.add(place);
      },
      enterIdentity: (key) => {
        const count = this.#identities.get(key) ?? 0;
        if (count >= this.#caps.perIdentity) {
          throw new Refusal(
            "limit_reached",
            `${this.#caps.perIdentity} connections are open for this identity`,
          );
        }
        identity = key;
        this.#identities.set(key, count + 1);
      },
      established: () => {
        this.#halfOpen.delete(place);
        this.#evict.delete(place);
        source?.halfOpen.delete(place);
      },
      leave: () => {
        place.established();
        this.#connections--;
        if (source !== undefined && --source.count === 0) this.#sources.delete(source.address);
        if (identity === undefined) return;
        const count = (this.#identities.get(identity) ?? 1) - 1;
        if (count === 0) this.#identities.delete(identity);
        else this.#identities.set(identity, count);
      },
    };
    this.#halfOpen.add(place);
    this.#evict.set(place, evict);
    return place;
  }

  #source(address: string): Source {
    return this.#sources.get(address) ?? { address, count: 0, halfOpen: new Set() };
  }

  #makeRoom(halfOpen: ReadonlySet<Place>): boolean {
    const [oldest] = halfOpen;
    if (oldest === undefined) return false;
    const evict = this.#evict.get(oldest);
    oldest.established();
    evict?.(new Refusal("limit_reached", "made room for a newer connection before its handshake was over"));
    return true;
  }
}
