import type { Certificate } from "./certificate.ts";

/** Names in canonical form, compared (RFC 5280 §7.1). */
export const sameName = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((rdn, i) => rdn === b[i]);

/** Issuer and subject are one: an authority that renews its key (RFC 5280 §3.2). */
export const isSelfIssued = ({ canonicalSubject, canonicalIssuer }: Certificate): boolean =>
  sameName(canonicalSubject, canonicalIssuer);
