import { type DatabaseRules, databaseRulesOf } from "../../core/route.ts";
import type { Session } from "../../core/session.ts";
import { mayAsk, type Right } from "../../identity/rights.ts";
import { refusal, states, violation } from "./refusal.ts";
import type { Startup } from "./wire.ts";

/** What a client asked for and may have, and what to ask of the upstream for it. */
export interface Asked {
  readonly askedUser: string;
  /** Whom the upstream has the session from. */
  readonly user: string;
  /** `null` where a replication connection has none. */
  readonly database: string | null;
  readonly startup: Startup;
  /** Protocol extensions that were asked for; we know of none. */
  readonly unknown: readonly string[];
}

/** What we read: protocol 3.2 is the newest there is. */
export const newestMinor = 2;
/** Servers cut longer names (`NAMEDATALEN`): a rule would then have seen another one. */
const maxName = 63;

const off = ["false", "off", "no", "0"];

const quoted = (name: string): string => JSON.stringify(name);
const listed = (rights: readonly Right[]): string => rights.map(({ text }) => text).join(", ");

function checkedName(name: string, what: string): string {
  if (new TextEncoder().encode(name).length > maxName)
    throw violation(`a ${what} name of more than ${maxName} bytes, which Postgres would cut`);
  return name;
}

/** Whom the upstream sees. Throws a refusal. */
function userOf(
  { route, identity, captures }: Session,
  users: DatabaseRules["users"],
  asked: string,
): string {
  const who = identity?.subject ?? "this client";
  const credentials = route.upstream?.credentials ?? null;
  if (credentials !== null && identity === null) {
    const sentence = "a client certificate is required: the router logs in for its clients here";
    throw refusal("client_cert_missing", states.unauthorized, sentence);
  }
  const own = credentials?.user ?? null;
  if (users === null && own !== null && asked !== own) {
    const sentence = `${who} may not be user ${quoted(asked)} on route ${route.name}: ask for user ${quoted(own)}`;
    throw refusal("identity_not_allowed", states.unauthorized, sentence);
  }
  if (!mayAsk(users, asked, identity, captures)) {
    const sentence = `${who} may not be user ${quoted(asked)} on route ${route.name}: expected ${listed(users ?? [])}`;
    throw refusal("identity_not_allowed", states.unauthorized, sentence);
  }
  return own ?? asked;
}

function checkDatabase({ route, identity, captures }: Session, name: string): void {
  const { names } = databaseRulesOf(route);
  if (mayAsk(names, name, identity, captures)) return;
  const who = identity?.subject ?? "this client";
  const sentence = `${who} may not open database ${quoted(name)} on route ${route.name}: expected ${listed(names ?? [])}`;
  throw refusal("identity_not_allowed", states.forbidden, sentence);
}

/** A replication connection, which reads a whole cluster unless it names a database. */
function replicationOf({ route }: Session, value: string | undefined): "none" | "physical" | "logical" {
  if (value === undefined || off.includes(value.toLowerCase())) return "none";
  if (route.database?.replication !== true) {
    const sentence = `route ${route.name} takes no replication connections`;
    throw refusal("identity_not_allowed", states.unauthorized, sentence);
  }
  if (value === "database") return "logical";
  if (route.database.names === null) return "physical";
  const sentence = `replication of the whole cluster is not for route ${route.name}, which limits databases`;
  throw refusal("identity_not_allowed", states.unauthorized, sentence);
}

/** Holds a StartupMessage against the rules of its route, and writes the one for the upstream. Throws a refusal. */
export function judge(session: Session, { minor, parameters }: Startup): Asked {
  const given = new Map(parameters);
  const askedUser = checkedName(given.get("user") ?? "", "user");
  if (askedUser === "")
    throw refusal("protocol_error", states.unauthorized, "no user name in the startup message");
  const user = userOf(session, databaseRulesOf(session.route).users, askedUser);
  const replication = replicationOf(session, given.get("replication"));
  // Postgres takes the user's name for an absent one: of the user that was asked for, whoever it is upstream.
  const named = given.get("database") ?? "";
  const database =
    replication === "physical" ? null : checkedName(named === "" ? askedUser : named, "database");
  if (database !== null) checkDatabase(session, database);
  if (given.has("options") && session.route.database?.startupOptions === false) {
    const sentence = `route ${session.route.name} takes no options in the startup message`;
    throw refusal("identity_not_allowed", states.unauthorized, sentence);
  }
  const unknown = [...given.keys()].filter((name) => name.startsWith("_pq_."));
  const rewritten = ["user", "database", "replication", ...unknown];
  return {
    askedUser,
    user,
    database,
    unknown,
    startup: {
      minor: Math.min(minor, newestMinor),
      parameters: [
        ["user", user],
        ...(database === null ? [] : [["database", database] as const]),
        ...(replication === "none"
          ? []
          : [["replication", replication === "logical" ? "database" : "true"] as const]),
        ...parameters.filter(([name]) => !rewritten.includes(name)),
      ],
    },
  };
}
