import { booleanValue, constructed, context, elements, sequence, tag } from "../../wire/der.ts";
import type { Certificate } from "../certificate.ts";
import { Malformed, must } from "../malformed.ts";
import { oids } from "../oids.ts";
import { sameBytes } from "../same-bytes.ts";

/** Which of its issuer's certificates a list is about (RFC 5280 §5.2.5). */
export interface Scope {
  /** The distribution point's names, each as its DER; `null` where it is about all of them. */
  readonly names: readonly Uint8Array[] | null;
  readonly holders: boolean;
  readonly authorities: boolean;
}

const where = "issuingDistributionPoint (RFC 5280 §5.2.5)";

/** The names in a DistributionPointName; a name relative to the issuer's is not taken. */
function fullNames(value: Uint8Array): readonly Uint8Array[] {
  const [choice, ...rest] = must(elements(value), where);
  if (choice?.tag !== constructed(0) || rest.length > 0) throw new Malformed(`a relative name in ${where}`);
  return must(elements(choice.value), where).map(({ raw }) => raw);
}

/** What a list says of its scope; lists of some reasons, of attributes and of other issuers are not taken. */
export function parseScope(value: Uint8Array | undefined): Scope {
  if (value === undefined) return { names: null, holders: true, authorities: true };
  const parts = must(sequence(value), where);
  const names = parts[0]?.tag === constructed(0) ? fullNames(must(parts.shift(), where).value) : null;
  const flag = (n: number): boolean => {
    const part = parts[0]?.tag === context(n) ? parts.shift() : undefined;
    return part !== undefined && must(booleanValue({ ...part, tag: tag.boolean }), where);
  };
  const [holdersOnly, authoritiesOnly] = [flag(1), flag(2)];
  if (parts[0]?.tag === context(3)) throw new Malformed(`a list of some reasons alone in ${where}`);
  if (flag(4)) throw new Malformed(`an indirect list in ${where}`);
  if (flag(5)) throw new Malformed(`a list of attribute certificates in ${where}`);
  if (parts.length > 0 || (holdersOnly && authoritiesOnly)) throw new Malformed(where);
  return { names, holders: !authoritiesOnly, authorities: !holdersOnly };
}

/** The names of a certificate's distribution points (RFC 5280 §4.2.1.13), each as its DER. */
function pointsOf(certificate: Certificate): readonly Uint8Array[] {
  const points = sequence(certificate.extensions.get(oids.crlDistributionPoints)?.value) ?? [];
  return points.flatMap((point) => {
    const [name] = sequence(point.raw) ?? [];
    const [choice] = name?.tag === constructed(0) ? (elements(name.value) ?? []) : [];
    return choice?.tag === constructed(0) ? (elements(choice.value) ?? []).map(({ raw }) => raw) : [];
  });
}

/** Is a list of this scope about this certificate? */
export function covers(scope: Scope, certificate: Certificate): boolean {
  const { names } = scope;
  const isAuthority = certificate.basicConstraints?.ca === true;
  if (isAuthority ? !scope.authorities : !scope.holders) return false;
  if (names === null) return true;
  return pointsOf(certificate).some((point) => names.some((name) => sameBytes(name, point)));
}
