import { constructed, context } from "../wire/der.ts";
import { derElement } from "../wire/der-write.ts";
import { checkDnsName, SubjectError } from "./subject.ts";
import { Extension } from "./x509.ts";

/** Domains that an authority's certificates may have names in; a form without any is left as it is. */
export interface Permitted {
  readonly dns?: readonly string[];
  readonly email?: readonly string[];
  readonly uri?: readonly string[];
}

const sequenceTag = 0x30;
const subtree = (n: number, domain: string): Uint8Array =>
  derElement(sequenceTag, derElement(context(n), new TextEncoder().encode(domain)));

/** Name constraints (RFC 5280 §4.2.1.10), critical as they have to be; nothing where nothing is limited. */
export function nameConstraints({ dns = [], email = [], uri = [] }: Permitted): Extension[] {
  for (const domain of [...dns, ...email, ...uri]) {
    // For mailboxes and URIs a dot before a domain means all hosts below it.
    const host = dns.includes(domain) ? domain : domain.replace(/^\./, "");
    checkDnsName("names", host, false);
    if (host !== host.toLowerCase())
      throw new SubjectError("names", `${JSON.stringify(domain)} has capitals`);
  }
  const subtrees = [
    ...email.map((domain) => subtree(1, domain)),
    ...dns.map((domain) => subtree(2, domain)),
    ...uri.map((domain) => subtree(6, domain)),
  ];
  if (subtrees.length === 0) return [];
  const value = derElement(sequenceTag, derElement(constructed(0), ...subtrees));
  return [new Extension("2.5.29.30", true, value as BufferSource)];
}
