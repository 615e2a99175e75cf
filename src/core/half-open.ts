import { Link, type Ring } from "./ring.ts";

/** Whoever has one may lose it to a newer connection. */
interface Givable {
  giveWay(): void;
}

/** A connection's place among those of one cap, while its handshake is not over. */
export class HalfOpen extends Link {
  readonly place: Givable;

  constructor(place: Givable) {
    super();
    this.place = place;
  }
}

/** The oldest gives way. False where there is none. */
export function makeRoom({ first }: Ring<HalfOpen>): boolean {
  if (first === undefined) return false;
  first.place.giveWay();
  return true;
}
