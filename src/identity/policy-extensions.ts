import { context, objectIdentifier, only, sequence, smallInteger, type Tlv, tag } from "../wire/der.ts";
import type { Extension } from "./extensions.ts";
import { Malformed, must } from "./malformed.ts";
import { oids } from "./oids.ts";

export const anyPolicy = "2.5.29.32.0";

/** What a certificate says of certificate policies. What it says nothing of is `null`. */
export interface Policies {
  /** RFC 5280 §4.2.1.4 */
  readonly asserted: ReadonlySet<string> | null;
  /** The issuer's policy and the subject's that counts for the same (§4.2.1.5). */
  readonly mappings: readonly (readonly [issuer: string, subject: string])[];
  /** After how many certificates a policy must be there, and none may be mapped (§4.2.1.11). */
  readonly requireExplicit: number | null;
  readonly inhibitMapping: number | null;
  /** After how many anyPolicy counts for none (§4.2.1.14). */
  readonly inhibitAny: number | null;
}

/** A certification practice statement's address, and a notice for people: there is nothing in them to be processed. */
const knownQualifiers: ReadonlySet<string> = new Set(["1.3.6.1.5.5.7.2.1", "1.3.6.1.5.5.7.2.2"]);

function parseAsserted(extension: Extension | undefined): ReadonlySet<string> | null {
  if (extension === undefined) return null;
  const listed = must(sequence(extension.value), "certificatePolicies (RFC 5280 §4.2.1.4)");
  if (listed.length === 0) throw new Malformed("an empty certificatePolicies (RFC 5280 §4.2.1.4)");
  const found = new Set<string>();
  for (const element of listed) {
    const [id, qualifiers, ...rest] = must(sequence(element.raw), "certificatePolicies (RFC 5280 §4.2.1.4)");
    const policy = must(objectIdentifier(id), "certificatePolicies (RFC 5280 §4.2.1.4)");
    if (rest.length > 0) throw new Malformed("certificatePolicies (RFC 5280 §4.2.1.4)");
    if (found.has(policy)) throw new Malformed(`policy ${policy} twice (RFC 5280 §4.2.1.4)`);
    for (const qualifier of qualifiers === undefined
      ? []
      : must(sequence(qualifiers.raw), "a qualifier (RFC 5280 §4.2.1.4)")) {
      const kind = must(objectIdentifier(sequence(qualifier.raw)?.[0]), "a qualifier (RFC 5280 §4.2.1.4)");
      if (extension.critical && !knownQualifiers.has(kind)) {
        throw new Malformed(`a critical policy with the qualifier ${kind} (RFC 5280 §4.2.1.4)`);
      }
    }
    found.add(policy);
  }
  return found;
}

function parseMappings(value: Uint8Array | undefined): (readonly [string, string])[] {
  if (value === undefined) return [];
  const listed = must(sequence(value), "policyMappings (RFC 5280 §4.2.1.5)");
  if (listed.length === 0) throw new Malformed("an empty policyMappings (RFC 5280 §4.2.1.5)");
  return listed.map((element) => {
    const [issuer, subject, ...rest] = must(sequence(element.raw), "policyMappings (RFC 5280 §4.2.1.5)").map(
      (id) => must(objectIdentifier(id), "policyMappings (RFC 5280 §4.2.1.5)"),
    );
    if (issuer === undefined || subject === undefined || rest.length > 0)
      throw new Malformed("policyMappings (RFC 5280 §4.2.1.5)");
    if (issuer === anyPolicy || subject === anyPolicy) {
      throw new Malformed("a mapping from or to anyPolicy (RFC 5280 §6.1.4 (a))");
    }
    return [issuer, subject];
  });
}

/** An INTEGER with a context-specific tag in place of its own. */
const implicitInteger = (element: Tlv | undefined): number | undefined =>
  element === undefined ? undefined : smallInteger({ ...element, tag: tag.integer });

function parseConstraints(
  value: Uint8Array | undefined,
): Pick<Policies, "requireExplicit" | "inhibitMapping"> {
  if (value === undefined) return { requireExplicit: null, inhibitMapping: null };
  const parts = must(sequence(value), "policyConstraints (RFC 5280 §4.2.1.11)");
  if (parts.length === 0) throw new Malformed("an empty policyConstraints (RFC 5280 §4.2.1.11)");
  const next = (wanted: number): number | null =>
    parts[0]?.tag === wanted
      ? must(implicitInteger(parts.shift()), "policyConstraints (RFC 5280 §4.2.1.11)")
      : null;
  const found = { requireExplicit: next(context(0)), inhibitMapping: next(context(1)) };
  if (parts.length > 0) throw new Malformed("policyConstraints (RFC 5280 §4.2.1.11)");
  return found;
}

export function parsePolicies(extensions: ReadonlyMap<string, Extension>): Policies {
  const inhibitAny = extensions.get(oids.inhibitAnyPolicy)?.value;
  return {
    asserted: parseAsserted(extensions.get(oids.certificatePolicies)),
    mappings: parseMappings(extensions.get(oids.policyMappings)?.value),
    ...parseConstraints(extensions.get(oids.policyConstraints)?.value),
    inhibitAny:
      inhibitAny === undefined
        ? null
        : must(smallInteger(only(inhibitAny, tag.integer)), "inhibitAnyPolicy (RFC 5280 §4.2.1.14)"),
  };
}
