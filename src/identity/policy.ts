import type { Identity } from "./identity.ts";

const keys = ["cn", "o", "ou", "dns", "email", "uri", "group"] as const;
type Key = (typeof keys)[number];

interface Term {
  readonly key: Key;
  /** As written. */
  readonly text: string;
  readonly matches: (value: string) => boolean;
}

/** One `allow` parameter: every term must hold. */
export interface AllowRule {
  readonly text: string;
  readonly terms: readonly Term[];
}

/** DNS names and the domains of email addresses have no case; all else is compared as it stands. */
const caseless: ReadonlySet<Key> = new Set(["dns"]);

/**
 * `*` stands for one or more characters other than the separator of that kind of value: `.` in DNS
 * names, `/` elsewhere. So `*.example.com` is one label deep, and a final `/*` in a URI one segment.
 */
function matcher(key: Key, pattern: string): (value: string) => boolean {
  const fold = (value: string): string => {
    if (caseless.has(key)) return value.toLowerCase();
    const at = key === "email" ? value.lastIndexOf("@") : -1;
    return at < 0 ? value : value.slice(0, at) + value.slice(at).toLowerCase();
  };
  const wanted = fold(pattern);
  if (!pattern.includes("*")) return (value) => fold(value) === wanted;
  const inside = key === "dns" ? "[^.]+" : "[^/]+";
  const source = wanted.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const expression = new RegExp(`^${source.join(inside)}$`, "s");
  return (value) => expression.test(fold(value));
}

/** Reads one `allow` value: terms `key:value` separated by commas, a comma inside a value written `\,`. */
export function parseAllow(text: string): AllowRule | { readonly problem: string } {
  const terms: Term[] = [];
  for (const part of text.split(/(?<!\\),/)) {
    const colon = part.indexOf(":");
    const key = keys.find((name) => name === part.slice(0, Math.max(colon, 0)).trim());
    const value = part
      .slice(colon + 1)
      .trim()
      .replaceAll("\\,", ",");
    if (key === undefined) {
      return {
        problem: `"${part}" is no rule: expected one of ${keys.map((name) => `${name}:`).join(" ")} and a value`,
      };
    }
    if (value === "") return { problem: `"${part}" has no value` };
    if (/\*\*/.test(value)) return { problem: `"${part}": one * stands for any characters already` };
    terms.push({ key, text: `${key}:${value}`, matches: matcher(key, value) });
  }
  return { text, terms };
}

function valuesOf(identity: Identity, key: Key): readonly string[] {
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
  const rule = rules.find(({ terms }) =>
    terms.every((term) => valuesOf(identity, term.key).some(term.matches)),
  );
  return rule?.text ?? null;
}
