import { Refusal } from "../errors.ts";

/** Which limit it was, as the metrics say. */
export type Limit =
  | "connections"
  | "source"
  | "identity"
  | "route"
  | "gave_way"
  | "source_rate"
  | "identity_rate"
  | "handshakes"
  | "memory";

/** A limit of the router's own was reached. */
export class LimitReached extends Refusal {
  readonly limit: Limit;

  constructor(limit: Limit, detail: string) {
    super("limit_reached", detail);
    this.limit = limit;
  }
}

/** What a connection hears that a newer one took the place of. */
export const givenWay = (): LimitReached =>
  new LimitReached("gave_way", "made room for a newer connection before its handshake was over");
