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
  count: number;
  readonly halfOpen: Set<Place>;
}

/**
 * Counts connections against the caps. A connection whose handshake is not over is half-open; where a
 * cap is reached, the oldest half-open one gives way to the new one, so that a crowd that connects and
 * says nothing cannot keep others out. With none to evict the new one is refused.
 */
export class Admission {
  readonly caps: Caps;
  readonly sources = new Map<string, Source>();
  readonly identities = new Map<string, number>();
  /** In the order in which they came. */
  readonly halfOpen = new Set<Place>();
  connections = 0;

  constructor(caps: Caps) {
    this.caps = caps;
  }

  /**
   * At accept. Throws a `limit_reached` refusal when there is no room. `evict` is called when a newer
   * connection takes this one's place; it must end the connection, which then leaves as usual.
   */
  enter(evict: (refusal: Refusal) => void): Place {
    if (this.connections >= this.caps.connections && !makeRoom(this.halfOpen)) {
      throw new Refusal("limit_reached", `${this.caps.connections} connections are open`);
    }
    this.connections++;
    const place = new Place(this, evict);
    this.halfOpen.add(place);
    return place;
  }
}

/** One connection's place under the caps, taken at accept and given back when it ends. */
export class Place {
  readonly #admission: Admission;
  readonly #evict: (refusal: Refusal) => void;
  #address: string | undefined;
  #identity: string | undefined;

  constructor(admission: Admission, evict: (refusal: Refusal) => void) {
    this.#admission = admission;
    this.#evict = evict;
  }

  /** Once the source address is known (a PROXY header may bring it). Throws when it has too many. */
  enterSource(address: string): void {
    const { sources, caps } = this.#admission;
    const source = sources.get(address) ?? { count: 0, halfOpen: new Set() };
    if (source.count >= caps.perSource && !makeRoom(source.halfOpen)) {
      throw new Refusal("limit_reached", `${caps.perSource} connections are open from ${address}`);
    }
    source.count++;
    source.halfOpen.add(this);
    sources.set(address, source);
    this.#address = address;
  }

  /** Once the identity is known, by a key that names it. Throws when it has too many. */
  enterIdentity(key: string): void {
    const { identities, caps } = this.#admission;
    const count = identities.get(key) ?? 0;
    if (count >= caps.perIdentity) {
      throw new Refusal("limit_reached", `${caps.perIdentity} connections are open for this identity`);
    }
    identities.set(key, count + 1);
    this.#identity = key;
  }

  /** The handshake is over: no newer connection takes this place any more. */
  established(): void {
    this.#admission.halfOpen.delete(this);
    if (this.#address !== undefined) this.#admission.sources.get(this.#address)?.halfOpen.delete(this);
  }

  /** For a newer connection. */
  giveWay(): void {
    this.established();
    this.#evict(
      new Refusal("limit_reached", "made room for a newer connection before its handshake was over"),
    );
  }

  leave(): void {
    this.established();
    const { sources, identities } = this.#admission;
    this.#admission.connections--;
    const source = this.#address === undefined ? undefined : sources.get(this.#address);
    if (source !== undefined && this.#address !== undefined && --source.count === 0)
      sources.delete(this.#address);
    if (this.#identity === undefined) return;
    const count = (identities.get(this.#identity) ?? 1) - 1;
    if (count === 0) identities.delete(this.#identity);
    else identities.set(this.#identity, count);
  }
}

function makeRoom(halfOpen: ReadonlySet<Place>): boolean {
  const [oldest] = halfOpen;
  if (oldest === undefined) return false;
  oldest.giveWay();
  return true;
}
