import { isSpiffeId } from "../identity/spiffe.ts";
import { parseIp } from "../wire/ip.ts";
import { normaliseServerName } from "../wire/server-name.ts";

/** Whom a client certificate is for. */
export interface Person {
  readonly commonName: string;
  readonly organization?: string;
  /** Groups, written as organizational units and into an extension of our own. */
  readonly groups?: readonly string[];
  readonly emails?: readonly string[];
  readonly dnsNames?: readonly string[];
  /** A SPIFFE ID, for example. */
  readonly uris?: readonly string[];
}

/** What can't stand in a certificate, with words for the person who asked for it. */
export class SubjectError extends Error {
  override readonly name = "SubjectError";
  /** Which member of the request it is about. */
  readonly member:
    | "commonName"
    | "organization"
    | "groups"
    | "emails"
    | "dnsNames"
    | "uris"
    | "names"
    | "principals"
    /** All of them together, and the authority's name constraints. */
    | "limits";

  constructor(member: SubjectError["member"], message: string) {
    super(message);
    this.member = member;
  }
}

/** The upper bound of common names, organizations and their units (RFC 5280 §A.1). */
export const maxTextLength = 64;

const shown = (value: string): string => JSON.stringify(value);

/** Throws unless it is text that can be a common name, an organization or a group. */
export function checkText(member: SubjectError["member"], value: string): void {
  if (value.trim() !== value || value === "")
    throw new SubjectError(member, `${shown(value)} is empty or has spaces at its ends`);
  if (value.length > maxTextLength)
    throw new SubjectError(member, `${shown(value)} is longer than ${maxTextLength} characters`);
  if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(value))
    throw new SubjectError(member, `${shown(value)} has characters that are no text`);
}

/** Throws unless it is a DNS name, with `*` for its first label if `wildcard`. */
export function checkDnsName(member: SubjectError["member"], value: string, wildcard: boolean): void {
  const rest = wildcard && value.startsWith("*.") ? value.slice(2) : value;
  if (value.endsWith(".") || normaliseServerName(rest) === null)
    throw new SubjectError(member, `${shown(value)} is no DNS name`);
}

/** Throws unless it is a name or an address that a server may have. */
export function checkServerName(value: string): void {
  if (parseIp(value) === null) checkDnsName("names", value, true);
}

/** Throws unless it is an address such as alice@example.com. */
export function checkEmail(value: string): void {
  const [, domain = ""] = /^[\x21-\x3f\x41-\x7e]{1,64}@([^@]+)$/.exec(value) ?? [];
  if (normaliseServerName(domain) === null)
    throw new SubjectError("emails", `${shown(value)} is no email address`);
}

/** Throws unless they are URIs, and a SPIFFE ID valid and alone (SPIFFE X509-SVID §2). */
export function checkUris(values: readonly string[]): void {
  for (const value of values) {
    if (!/^[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+$/.test(value))
      throw new SubjectError("uris", `${shown(value)} is no URI`);
    if (!/^spiffe:/i.test(value)) continue;
    if (!isSpiffeId(value))
      throw new SubjectError("uris", `${shown(value)} is no SPIFFE ID: expected spiffe://trust-domain/path`);
    if (values.length > 1)
      throw new SubjectError("uris", `beside the SPIFFE ID ${shown(value)} there can be no other URI`);
  }
}

/** Whether it can be an SSH principal: lists of them have commas or lines between them, and patterns in some places: none of that in a name. */
export const isSshPrincipal = (value: string): boolean =>
  value !== "" && value.length <= maxTextLength && !/[\s\p{C},"'*?!#]/u.test(value);

/** Throws unless it is one. */
export function checkSshPrincipal(value: string): void {
  if (!isSshPrincipal(value))
    throw new SubjectError(
      "principals",
      `${shown(value)} is no user's name: expected one of at most ${maxTextLength} characters, without spaces, commas, quotes, *, ?, ! or #`,
    );
}

/** Throws unless all of it can stand in a client certificate. */
export function checkPerson(person: Person): void {
  const { commonName, organization, groups = [], emails = [], dnsNames = [], uris = [] } = person;
  checkText("commonName", commonName);
  if (organization !== undefined) checkText("organization", organization);
  for (const group of groups) checkText("groups", group);
  for (const email of emails) checkEmail(email);
  for (const name of dnsNames) checkDnsName("dnsNames", name, false);
  checkUris(uris);
}
