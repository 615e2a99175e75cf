import type { JWTPayload } from "jose";
import { z } from "zod";
import type { Person } from "../authority/subject.ts";
import { type Identity, sha256Hex } from "../identity/identity.ts";
import { formatName } from "../identity/name.ts";
import { spiffeOf } from "../identity/spiffe.ts";

/** Somebody who has signed in with a browser. */
export interface SignedIn {
  /** Of the sign-in: its audit record has it. */
  readonly id: string;
  readonly identity: Identity;
  /** SHA-256 of the provider's name and its subject, as the deny list has it. */
  readonly voucherHash: string;
  /** Unix milliseconds. */
  readonly until: number;
}

const nameTypes = { O: "2.5.4.10", OU: "2.5.4.11", CN: "2.5.4.3" } as const;

/** The name that a certificate of the authority has for this person, as RFC 4514 writes it. */
function subjectOf({ commonName, organization, groups = [] }: Person): string {
  const one = (type: keyof typeof nameTypes, value: string) => [
    { oid: nameTypes[type], value, der: new Uint8Array() },
  ];
  return formatName([
    ...(organization === undefined ? [] : [one("O", organization)]),
    ...groups.map((group) => one("OU", group)),
    one("CN", commonName),
  ]);
}

/** The identity that a certificate of the authority for this person says. */
function identityOf(person: Person, until: number): Identity {
  const { commonName, organization, groups = [], emails = [], uris = [] } = person;
  return {
    subject: subjectOf(person),
    commonName,
    organizations: organization === undefined ? [] : [organization],
    organizationalUnits: groups,
    dnsNames: [],
    emails,
    uris,
    ips: [],
    spiffe: spiffeOf(uris),
    groups,
    sources: null,
    routes: null,
    serial: null,
    fingerprint: null,
    expires: new Date(until).toISOString(),
  };
}

/** @param voucher the provider's name and its subject */
export async function signedIn(
  id: string,
  voucher: string,
  person: Person,
  until: number,
): Promise<SignedIn> {
  const voucherHash = await sha256Hex(new TextEncoder().encode(voucher));
  return { id, identity: identityOf(person, until), voucherHash, until };
}

const texts = z.array(z.string()).readonly();
const claims = z.object({
  jti: z.string(),
  voucher: z.string(),
  exp: z.number(),
  cn: z.string(),
  o: z.string().optional(),
  groups: texts,
  emails: texts,
  uris: texts,
});

/** What a session's cookie says. */
export const claimsOf = (id: string, voucher: string, person: Person): JWTPayload => {
  const { commonName, organization, groups = [], emails = [], uris = [] } = person;
  const o = organization === undefined ? {} : { o: organization };
  return { jti: id, voucher, cn: commonName, ...o, groups, emails, uris };
};

/** Who that is; `null` for what an other version wrote. */
export async function readClaims(payload: JWTPayload): Promise<SignedIn | null> {
  const read = claims.safeParse(payload);
  if (!read.success) return null;
  const { jti, voucher, exp, cn, o, groups, emails, uris } = read.data;
  const organization = o === undefined ? {} : { organization: o };
  return signedIn(jti, voucher, { commonName: cn, ...organization, groups, emails, uris }, exp * 1000);
}
