import { cidrContains, type Ip, parseCidr } from "../wire/ip.ts";
import type { Identity } from "./identity.ts";

/** What rules can ask of an identity. */
export const identityKeys = ["cn", "o", "ou", "dns", "email", "uri", "group"] as const;
type Key = (typeof identityKeys)[number];

interface Term {
  readonly matches: (identity: Identity) => boolean;
}

/** One `allow` parameter: every term must hold. */
export interface AllowRule {
  readonly text: string;
  readonly terms: readonly Term[];
}

/** DNS names and the domains of email addresses have no case; all else is compared as it stands. */
function fold(key: Key, value: string): string {
  if (key === "dns") return value.toLowerCase();
  const at = key === "email" ? value.lastIndexOf("@") : -1;
  return at < 0 ? value : value.slice(0, at) + value.slice(at).toLowerCase();
}

/** Where a kind of value has its joints, which `*` does not reach over. */
function segments(key: Key, value: string): string[] {
  if (key === "dns") return value.split(".");
  if (key === "uri") return value.split(/([/?#])/);
  if (key !== "email") return value.split("/");
  const parts = value.split("@");
  const domain = parts.pop() ?? "";
  return [...parts, "@", ...domain.split(".")];
}

/** `*` is one or more characters. Linear but for the last `*` tried: values come from the peer. */
export function globMatches(pattern: string, text: string): boolean {
  let p = 0;
  let star = -1;
  let starEnd = 0;
  let t = 0;
  while (t < text.length) {
    if (pattern[p] === "*") {
      star = p++;
      starEnd = ++t;
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++starEnd;
    } else return false;
  }
  return p === pattern.length;
}

/**
 * `*` stands for one or more characters of one part of a value: of a label in DNS names and email
 * domains, of what stands before the `@`, of what stands between two `/` elsewhere, and in a URI not of
 * its query. So `*.example.com` is one label deep, and a final `/*` in a URI one segment.
 */
function matcher(key: Key, pattern: string): (value: string) => boolean {
  const wanted = fold(key, pattern);
  if (!pattern.includes("*")) return (value) => fold(key, value) === wanted;
  const parts = segments(key, wanted);
  return (value) => {
    const found = segments(key, fold(key, value));
    return found.length === parts.length && parts.every((part, i) => globMatches(part, found[i] ?? ""));
  };
}

/** What a rule of this kind looks at. Where a SPIFFE ID is asked for, only a certificate that is a valid SVID has one. */
function term(key: Key, value: string): Term {
  const matches = matcher(key, value);
  if (key === "uri" && value.startsWith("spiffe://"))
    return { matches: ({ spiffe }) => spiffe !== null && matches(spiffe) };
  return { matches: (identity) => valuesOf(identity, key).some(matches) };
}

/** Reads one `allow` value: terms `key:value` separated by commas, a comma inside a value written `\,`. */
export function parseAllow(text: string): AllowRule | { readonly problem: string } {
  const terms: Term[] = [];
  for (const part of text.split(/(?<!\\),/)) {
    const colon = part.indexOf(":");
    const key = identityKeys.find((name) => name === part.slice(0, Math.max(colon, 0)).trim());
    const value = part
      .slice(colon + 1)
      .trim()
      .replaceAll("\\,", ",");
    if (key === undefined) {
      return {
        problem: `"${part}" is no rule: expected one of ${identityKeys.map((name) => `${name}:`).join(" ")} and a value`,
      };
    }
    if (value === "") return { problem: `"${part}" has no value` };
    if (/\*\*/.test(value)) return { problem: `"${part}": one * stands for any characters already` };
    terms.push(term(key, value));
  }
  return { text, terms };
}

export function valuesOf(identity: Identity, key: Key): readonly string[] {
  switch (key) {
    case "cn":
      return identity.commonName === null ? [] : [identity.commonName];
    case "o":
      return identity.organizations;
    case "ou":
      return identity.organizationalUnits;
    case "dns":
      return identity.dnsNames;
    case "email":
      return identity.emails;
    case "uri":
      return identity.uris;
    case "group":
      return identity.groups;
  }
}

/** The text of the rule that admits this identity, or `null`. Without rules everyone verified is admitted. */
export function admittedBy(rules: readonly AllowRule[], identity: Identity): string | null {
  if (rules.length === 0) return "any verified certificate";
  const rule = rules.find(({ terms }) => terms.every(({ matches }) => matches(identity)));
  return rule?.text ?? null;
}

/**
 * How the limits that an authority wrote into a certificate are broken here: the reason, and words for it.
 *
 * @param route `null` on the router's own pages, which holders of limited certificates may reach too
 */
export function brokenLimit(
  { sources, routes }: Identity,
  route: string | null,
  source: Ip | null,
): { readonly reason: "source_not_allowed" | "identity_not_allowed"; readonly detail: string } | null {
  const networks = sources?.map(parseCidr);
  const within = networks?.some((cidr) => cidr !== null && source !== null && cidrContains(cidr, source));
  if (within === false) {
    const detail = `its certificate may be used from ${sources?.join(", ") || "nowhere"} alone`;
    return { reason: "source_not_allowed", detail };
  }
  if (route === null || routes === null || routes.includes(route)) return null;
  const detail = `its certificate is for the routes ${routes.join(", ") || "(none)"} alone`;
  return { reason: "identity_not_allowed", detail };
}
