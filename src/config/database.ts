import type { Credentials, DatabaseRules } from "../core/route.ts";
import { parseRight, type Right } from "../identity/rights.ts";
import { decode, fail, type Query } from "./query.ts";
import type { SchemeInfo } from "./scheme.ts";
import { oneOf } from "./values.ts";

function rights(query: Query, key: string, captures: readonly string[]): readonly Right[] | null {
  const found = query.items(key).map((text) => {
    const right = parseRight(text, captures);
    return "problem" in right ? fail(`${key}=${right.problem}`) : right;
  });
  return found.length === 0 ? null : found;
}

/** Who may be whom on a route, and which database they may open; `null` where the scheme knows no databases. */
export function databaseRules(
  query: Query,
  info: SchemeInfo,
  credentials: Credentials | null,
  captures: readonly string[],
): DatabaseRules | null {
  if (!info.database) return null;
  const users = rights(query, "db_user", captures);
  // Whoever logs in for others must know as whom they may come.
  if (users === null && credentials !== null && credentials.user === null)
    fail("db_user= is missing: the router logs in for its clients, as anybody they ask for");
  if (credentials !== null && query.one("client") === "none")
    fail("client=none makes no sense where the router logs in for its clients: anybody would be in");
  return {
    users,
    names: rights(query, "db_name", captures),
    auditStatements: query.parse("audit", oneOf("off", "statements")) === "statements",
    replication: query.parse("replication", oneOf("refuse", "allow")) === "allow",
    startupOptions: query.parse("startup_options", oneOf("allow", "refuse")) !== "refuse",
    localInfile: query.parse("local_infile", oneOf("refuse", "allow")) === "allow",
  };
}

/**
 * What the router logs in with at the upstream: the name and password in the URL, or a certificate.
 *
 * @param userinfo as it stands in the URL
 */
export function credentialsIn(
  userinfo: string | undefined,
  certificate: "none" | "given" | "minted",
): Credentials | null {
  const minted = certificate === "minted";
  if (userinfo === undefined) return certificate === "none" ? null : { user: null, password: null, minted };
  const colon = userinfo.indexOf(":");
  const user = decode(colon < 0 ? userinfo : userinfo.slice(0, colon), "the user name");
  const password = colon < 0 ? null : decode(userinfo.slice(colon + 1), "the password");
  if (/\0/.test(`${user}${password}`)) fail("a zero byte can't stand in a user name or password");
  if (user === "" && password === null) fail("has an @ with no user name before it");
  return { user: user === "" ? null : user, password, minted };
}
