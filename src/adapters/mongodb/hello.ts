import { type Element, numberOf } from "../../wire/bson.ts";
import type { MongodbAccess } from "./access.ts";
import { aheadClaim } from "./claim.ts";

/** The names of the command that drivers begin with. */
export const helloNames: ReadonlySet<string> = new Set(["hello", "isMaster", "ismaster"]);

/** Whether it may be answered when something changes, which is how drivers watch a server. */
export const isWatching = (body: readonly Element[]): boolean =>
  body.some(({ name }) => name === "topologyVersion") &&
  (numberOf(body.find(({ name }) => name === "maxAwaitTimeMS")) ?? 0) > 0;

/** A `hello` without what is not to be agreed on: compression, which we don't read, and logins that are not the client's. */
export function heldHello(body: readonly Element[], access: MongodbAccess): readonly Element[] {
  return body.filter((element) => {
    switch (element.name) {
      case "compression":
        return false;
      case "saslSupportedMechs":
        return !access.logsIn;
      case "speculativeAuthenticate": {
        if (access.logsIn) return false;
        if (!access.limitsUsers) return true;
        const user = aheadClaim(element)?.user;
        // One that is refused will be asked for again, and told why.
        return typeof user === "string" && access.admits(user);
      }
      default:
        return true;
    }
  });
}
