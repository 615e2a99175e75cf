import type { Person } from "../authority/subject.ts";
import { globMatches } from "../identity/policy.ts";
import type { Condition, Provider } from "./provider.ts";
import { EnrolmentRefusal } from "./refusal.ts";
import { type Claims, claimValues, fillIn, MissingClaim, type Template, UnfitClaim } from "./template.ts";

/** More groups than anybody has on purpose. */
const maxGroups = 64;

function matches(pattern: string, value: string): boolean {
  const [parts, found] = [pattern.split("/"), value.split("/")];
  return found.length === parts.length && parts.every((part, i) => globMatches(part, found[i] ?? ""));
}

const holds = ({ claim, pattern }: Condition, claims: Claims): boolean =>
  (claimValues(claims, claim) ?? []).some((value) => matches(pattern, value));

const refused = (detail: string): EnrolmentRefusal =>
  new EnrolmentRefusal("identity_not_allowed", `id_token: ${detail}`);

/** An address that its holder was never asked to confirm is whatever somebody typed. */
function refuseUnconfirmedEmail(used: readonly string[], claims: Claims): void {
  const isEmail = used.some((claim) => /(^|\.)e?mail$/i.test(claim));
  if (isEmail && claims.email_verified !== true && claims.email_verified !== "true")
    throw refused("its email is not verified (email_verified)");
}

const claimsIn = (templates: readonly Template[]): string[] =>
  templates.flatMap(({ parts }) => parts.flatMap((part) => (typeof part === "string" ? [] : [part.claim])));

/** Groups may be missing: without them somebody can do less, never more. */
function groupsOf(
  { groups: templates, groupMatch }: Provider["identity"],
  claims: Claims,
): readonly string[] {
  const groups = templates.flatMap((template) => {
    try {
      return fillIn(template, claims, false);
    } catch (error) {
      if (error instanceof MissingClaim) return [];
      throw error;
    }
  });
  const taken = (group: string): boolean =>
    groupMatch.length === 0 || groupMatch.some((pattern) => matches(pattern, group));
  const found = [...new Set(groups)].filter(taken);
  if (found.length > maxGroups) throw refused(`has more than ${maxGroups} groups`);
  return found;
}

/** Who the provider's rules say this is. Throws an `EnrolmentRefusal` where they let nobody in. */
export function personFrom(provider: Provider, claims: Claims): Person {
  const { require, identity } = provider;
  if (require.length > 0 && !require.some((all) => all.every((condition) => holds(condition, claims))))
    throw refused(`no require= rule of ${provider.name} admits it`);
  try {
    const { name, groups, emails, uris, organization } = identity;
    const asked = require.flatMap((all) => all.map(({ claim }) => claim));
    refuseUnconfirmedEmail([...asked, ...claimsIn([name, ...groups, ...emails, ...uris])], claims);
    const [commonName = "", ...others] = fillIn(name, claims, false);
    if (others.length > 0) throw refused("its name is a list");
    return {
      commonName,
      ...(organization === null ? {} : { organization }),
      groups: groupsOf(identity, claims),
      emails: emails.flatMap((template) => fillIn(template, claims, false)),
      dnsNames: [],
      uris: uris.flatMap((template) => fillIn(template, claims, true)),
    };
  } catch (error) {
    throw error instanceof UnfitClaim ? refused(error.message) : error;
  }
}
