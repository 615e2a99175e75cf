import { type AdmissionControl, type Caps, noRoom, type Place } from "../core/admission.ts";
import type { Refusal } from "../errors.ts";
import { LimitReached } from "../limits/limit-reached.ts";
import type { LimitSettings } from "../limits/limits.ts";
import { sourceKey } from "../limits/source-key.ts";
import type { TokenRate } from "../limits/token-buckets.ts";
import type { CapLeases } from "./leases.ts";
import type { SharedState } from "./state.ts";

type Shares = Pick<Caps, "perSource" | "perIdentity"> &
  Pick<LimitSettings, "connectionsPerSource" | "connectionsPerIdentity">;

type Counts = Pick<SharedState, "rate">;

/**
 * Caps of sources, identities and routes, and how fast connections come, that hold for all routers together, on top of what holds for this one: so
 * nothing that is heard from elsewhere makes room for anybody. How many connections are open in all is each machine's
 * own affair.
 */
export class SharedCaps implements AdmissionControl {
  readonly #own: AdmissionControl;
  readonly #shares: Shares;
  readonly #leases: CapLeases;
  readonly #state: Counts;

  constructor(own: AdmissionControl, shares: Shares, leases: CapLeases, state: Counts) {
    this.#own = own;
    this.#shares = shares;
    this.#leases = leases;
    this.#state = state;
  }

  async enter(evict: (refusal: Refusal) => void): Promise<Place> {
    return new LeasedPlace(await this.#own.enter(evict), this.#shares, this.#leases, this.#state);
  }
}

class LeasedPlace implements Place {
  readonly #own: Place;
  readonly #shares: Shares;
  readonly #leases: CapLeases;
  readonly #state: Counts;
  readonly #keys: string[] = [];
  #hasLeft = false;

  constructor(own: Place, shares: Shares, leases: CapLeases, state: Counts) {
    this.#own = own;
    this.#shares = shares;
    this.#leases = leases;
    this.#state = state;
  }

  async enterSource(address: string): Promise<void> {
    await this.#own.enterSource(address);
    const { perSource, connectionsPerSource } = this.#shares;
    const source = sourceKey(address);
    await this.#count(
      `source ${source}`,
      connectionsPerSource,
      () =>
        new LimitReached("source_rate", `connections come too fast from ${source}, at all routers together`),
    );
    await this.#take(`source ${address}`, perSource, () => noRoom.source(perSource, address));
  }

  async enterIdentity(key: string): Promise<void> {
    await this.#own.enterIdentity(key);
    const { perIdentity, connectionsPerIdentity } = this.#shares;
    await this.#count(
      `identity ${key}`,
      connectionsPerIdentity,
      () =>
        new LimitReached(
          "identity_rate",
          "connections of this identity come too fast, at all routers together",
        ),
    );
    await this.#take(`identity ${key}`, perIdentity, () => noRoom.identity(perIdentity));
  }

  async enterRoute(name: string, cap: number): Promise<void> {
    await this.#own.enterRoute(name, cap);
    await this.#take(`route ${name}`, cap, () => noRoom.route(cap, name));
  }

  established(): void {
    this.#own.established();
  }

  leave(): void {
    this.#hasLeft = true;
    this.#own.leave();
    for (const key of this.#keys.splice(0)) this.#leases.leave(key);
  }

  async #count(key: string, rate: TokenRate | null, refused: () => Refusal): Promise<void> {
    if (rate === null) return;
    // Away: what this router counts by itself is what holds.
    if ((await this.#state.rate(`connections ${key}`, rate).catch(() => null)) !== null) throw refused();
  }

  async #take(key: string, cap: number, refused: () => Refusal): Promise<void> {
    if (!(await this.#leases.take(key, cap))) throw refused();
    // It may have ended meanwhile, and leaves once.
    if (this.#hasLeft) this.#leases.leave(key);
    else this.#keys.push(key);
  }
}
