import { databaseRulesOf } from "../../core/route.ts";
import type { Session } from "../../core/session.ts";
import { mayAsk, type Right } from "../../identity/rights.ts";
import { notAllowed } from "./refusals.ts";

const listed = (rights: readonly Right[] | null): string => (rights ?? []).map(({ text }) => text).join(", ");

/** Servers clip longer names, and take quotes off: rules would then have judged another name. */
const asServersReadIt = (name: string): boolean => [...name].length <= 32 && !/^['"`].*['"`]$/s.test(name);

/** Whom the upstream is to know the client as, where it may be whom it asks to be. Throws a `Refusal`. */
export function userFor({ route, identity, captures }: Session, asked: string): string {
  const who = identity?.subject ?? "this client";
  const { users } = databaseRulesOf(route);
  const kept = route.upstream?.credentials?.user ?? null;
  // Whoever asks for nobody has asked for none of those that are listed.
  if (kept === null || users !== null) {
    if (!mayAsk(users, asked, identity, captures) || (users !== null && !asServersReadIt(asked)))
      throw notAllowed(
        "user",
        `${who} may not be database user '${asked}' on route ${route.name}, which admits ${listed(users)}`,
      );
  } else if (asked !== "" && asked !== kept)
    throw notAllowed(
      "user",
      `${who} may not be database user '${asked}' on route ${route.name}: ask for '${kept}'`,
    );
  return kept ?? asked;
}

/** Whether the client may open this database. */
export const mayOpen = ({ route, identity, captures }: Session, database: string): boolean =>
  mayAsk(databaseRulesOf(route).names, database, identity, captures);

/** Throws a `Refusal` where the client may not open the database; none may always be opened. */
export function checkDatabase(session: Session, database: string | null): void {
  if (database === null || mayOpen(session, database)) return;
  const { identity, route } = session;
  throw notAllowed(
    "database",
    `${identity?.subject ?? "this client"} may not open database '${database}' on route ${route.name}, which admits ${listed(databaseRulesOf(route).names)}`,
  );
}
