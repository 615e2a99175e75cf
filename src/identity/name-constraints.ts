import { constructed, elements, sequence, type Tlv } from "../wire/der.ts";
import { type GeneralName, parseGeneralName } from "./general-name.ts";
import { isHost, parseMailbox } from "./host.ts";
import { Malformed, must } from "./malformed.ts";

/** The subtrees on one side of a name constraint, sorted by what they are compared with. Hosts are in lower case. */
export interface Subtrees {
  readonly dns: readonly string[];
  readonly email: readonly string[];
  readonly uri: readonly string[];
  /** Address and mask, one after the other. */
  readonly ip: readonly Uint8Array[];
  readonly directory: readonly (readonly string[])[];
  /** Forms that are not compared. */
  readonly others: ReadonlySet<GeneralName["type"]>;
}

/** RFC 5280 §4.2.1.10 */
export interface NameConstraints {
  readonly permitted: Subtrees;
  readonly excluded: Subtrees;
}

const where = "nameConstraints (RFC 5280 §4.2.1.10)";

/** A domain, the domains below one (`.example.com`), or all of them (the empty one). */
function domain(value: string): string {
  const host = value.toLowerCase();
  if (host !== "" && !isHost(host.startsWith(".") ? host.slice(1) : host)) {
    throw new Malformed(`${JSON.stringify(value)} in ${where}`);
  }
  return host;
}

/** A mailbox, or whatever mailbox at a host. */
function mailboxes(value: string): string {
  if (!value.includes("@")) return domain(value);
  const mailbox = parseMailbox(value);
  if (mailbox === undefined) throw new Malformed(`${JSON.stringify(value)} in ${where}`);
  return `${mailbox.local}@${mailbox.host}`;
}

/** The ones of a mask stand together at its beginning (RFC 4632 §3.1). */
function isMask(mask: Uint8Array): boolean {
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return !bits.includes("01");
}

function addressAndMask(value: Uint8Array): Uint8Array {
  if (!isMask(value.subarray(value.length / 2))) throw new Malformed(`an address mask in ${where}`);
  return value;
}

function parseSubtrees(part: Tlv | undefined): Subtrees {
  const dns: string[] = [];
  const email: string[] = [];
  const uri: string[] = [];
  const ip: Uint8Array[] = [];
  const directory: (readonly string[])[] = [];
  const others = new Set<GeneralName["type"]>();
  const listed = part === undefined ? [] : must(elements(part.value), where);
  if (part !== undefined && listed.length === 0) throw new Malformed(`an empty list in ${where}`);
  for (const subtree of listed) {
    const [base, ...range] = must(sequence(subtree.raw), where);
    // `minimum` is 0, which DER leaves out, and there is no `maximum`.
    if (base === undefined || range.length > 0) throw new Malformed(`a subtree with a range in ${where}`);
    const name = parseGeneralName(base, where, [8, 32]);
    if (name.type === "dns") dns.push(domain(name.value));
    else if (name.type === "uri") uri.push(domain(name.value));
    else if (name.type === "email") email.push(mailboxes(name.value));
    else if (name.type === "ip") ip.push(addressAndMask(name.value));
    else if (name.type === "directory") directory.push(name.value);
    else others.add(name.type);
  }
  return { dns, email, uri, ip, directory, others };
}

export function parseNameConstraints(value: Uint8Array | undefined): NameConstraints | null {
  if (value === undefined) return null;
  const parts = must(sequence(value), where);
  if (parts.length === 0) throw new Malformed(`an empty ${where}`);
  const permitted = parts[0]?.tag === constructed(0) ? parts.shift() : undefined;
  const excluded = parts[0]?.tag === constructed(1) ? parts.shift() : undefined;
  if (parts.length > 0) throw new Malformed(where);
  return { permitted: parseSubtrees(permitted), excluded: parseSubtrees(excluded) };
}
