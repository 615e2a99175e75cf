import { type AdmissionControl, type Caps, noRoom, type Place } from "../core/admission.ts";
import type { Refusal } from "../errors.ts";
import type { CapLeases } from "./leases.ts";

/**
 * Caps of sources, identities and routes that hold for all routers together, on top of what holds for this one: so
 * nothing that is heard from elsewhere makes room for anybody. How many connections are open in all is each machine's
 * own affair.
 */
export class SharedCaps implements AdmissionControl {
  readonly #own: AdmissionControl;
  readonly #caps: Pick<Caps, "perSource" | "perIdentity">;
  readonly #leases: CapLeases;

  constructor(own: AdmissionControl, caps: Pick<Caps, "perSource" | "perIdentity">, leases: CapLeases) {
    this.#own = own;
    this.#caps = caps;
    this.#leases = leases;
  }

  async enter(evict: (refusal: Refusal) => void): Promise<Place> {
    return new LeasedPlace(await this.#own.enter(evict), this.#caps, this.#leases);
  }
}

class LeasedPlace implements Place {
  readonly #own: Place;
  readonly #caps: Pick<Caps, "perSource" | "perIdentity">;
  readonly #leases: CapLeases;
  readonly #keys: string[] = [];
  #hasLeft = false;

  constructor(own: Place, caps: Pick<Caps, "perSource" | "perIdentity">, leases: CapLeases) {
    this.#own = own;
    this.#caps = caps;
    this.#leases = leases;
  }

  async enterSource(address: string): Promise<void> {
    await this.#own.enterSource(address);
    const { perSource } = this.#caps;
    await this.#take(`source ${address}`, perSource, () => noRoom.source(perSource, address));
  }

  async enterIdentity(key: string): Promise<void> {
    await this.#own.enterIdentity(key);
    const { perIdentity } = this.#caps;
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

  async #take(key: string, cap: number, refused: () => Refusal): Promise<void> {
    if (!(await this.#leases.take(key, cap))) throw refused();
    // It may have ended meanwhile, and leaves once.
    if (this.#hasLeft) this.#leases.leave(key);
    else this.#keys.push(key);
  }
}
