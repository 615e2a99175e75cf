import type { Certificate } from "./certificate.ts";
import type { GeneralName } from "./general-name.ts";
import { hostOfUri, isHost, parseMailbox } from "./host.ts";
import type { NameConstraints, Subtrees } from "./name-constraints.ts";

/** Comparisons that may still be made: both the names and the subtrees are their makers' to choose. */
export interface Comparisons {
  left: number;
}

const emailAddress = "1.2.840.113549.1.9.1";
/** SmtpUTF8Mailbox (RFC 9598): a mailbox in another form. */
const utf8Mailbox = "1.3.6.1.5.5.7.8.9";

const below = (host: string, domain: string): boolean =>
  domain === "" || host === domain || host.endsWith(`.${domain}`);

/** `.example.com` has the domains below it alone. */
const inDomain = (host: string, domain: string): boolean =>
  domain.startsWith(".") ? host.endsWith(domain) : below(host, domain);

/** For mailboxes and URIs a domain without a dot before it is that one host. */
const atHost = (host: string, domain: string): boolean =>
  domain === "" || (domain.startsWith(".") ? host.endsWith(domain) : host === domain);

/** One name, and how it compares with a subtree of its form. */
interface Comparable<T> {
  readonly permittedBy: (subtree: T) => boolean;
  /** Wider than `permittedBy` where a name stands for several. */
  readonly excludedBy: (subtree: T) => boolean;
}

const exactly = <T>(within: (subtree: T) => boolean): Comparable<T> => ({
  permittedBy: within,
  excludedBy: within,
});

function dnsName(value: string): Comparable<string> | undefined {
  const name = value.toLowerCase();
  const parent = name.startsWith("*.") ? name.slice(2) : undefined;
  if (!isHost(parent ?? name)) return undefined;
  if (parent === undefined) return exactly((domain) => inDomain(name, domain));
  return {
    // All that the wildcard stands for is below its parent; that it is inside must hold for each.
    permittedBy: (domain) => below(parent, domain.replace(/^\./, "")),
    // One that it stands for is enough.
    excludedBy: (domain) => {
      const bare = domain.replace(/^\./, "");
      return below(parent, bare) || (!domain.startsWith(".") && bare.slice(bare.indexOf(".") + 1) === parent);
    },
  };
}

function mailbox(value: string): Comparable<string> | undefined {
  const parsed = parseMailbox(value);
  if (parsed === undefined) return undefined;
  const { local, host } = parsed;
  const exact = `${local}@${host}`;
  return {
    permittedBy: (subtree) => (subtree.includes("@") ? subtree === exact : atHost(host, subtree)),
    // Hosts may tell local parts apart by case, few do: who is excluded is so in every spelling.
    excludedBy: (subtree) =>
      subtree.includes("@") ? subtree.toLowerCase() === exact.toLowerCase() : atHost(host, subtree),
  };
}

function uri(value: string): Comparable<string> | undefined {
  const host = hostOfUri(value);
  return host === undefined ? undefined : exactly((domain) => atHost(host, domain));
}

/** An address and a subtree of the other family have nothing in common. */
const address = (value: Uint8Array): Comparable<Uint8Array> =>
  exactly((subtree) => {
    const size = value.length;
    if (subtree.length !== 2 * size) return false;
    for (let i = 0; i < size; i++) {
      const mask = subtree[size + i] ?? 0;
      if (((value[i] ?? 0) & mask) !== ((subtree[i] ?? 0) & mask)) return false;
    }
    return true;
  });

const directoryName = (value: readonly string[]): Comparable<readonly string[]> =>
  exactly((subtree) => subtree.length <= value.length && subtree.every((rdn, i) => rdn === value[i]));

const titles: Readonly<Record<GeneralName["type"], string>> = {
  dns: "DNS name",
  email: "email address",
  uri: "URI",
  ip: "IP address",
  directory: "distinguished name",
  otherName: "otherName",
  x400Address: "x400Address",
  ediPartyName: "ediPartyName",
  registeredID: "registeredID",
};

const shown = (name: GeneralName): string =>
  typeof name.value === "string" && name.value !== ""
    ? `${titles[name.type]} ${JSON.stringify(name.value)}`
    : titles[name.type];

function verdict<T>(
  name: GeneralName,
  comparable: Comparable<T> | undefined,
  permitted: readonly T[],
  excluded: readonly T[],
  comparisons: Comparisons,
): string | undefined {
  if (permitted.length + excluded.length === 0) return undefined;
  if (comparable === undefined) return `its ${shown(name)} is none that a constraint can be compared with`;
  comparisons.left -= permitted.length + excluded.length;
  if (comparisons.left < 0) return "more names and constraints than are compared";
  if (excluded.some(comparable.excludedBy)) return `its ${shown(name)} is excluded`;
  return permitted.length > 0 && !permitted.some(comparable.permittedBy)
    ? `its ${shown(name)} is not among the permitted`
    : undefined;
}

function broken(
  name: GeneralName,
  permitted: Subtrees,
  excluded: Subtrees,
  comparisons: Comparisons,
): string | undefined {
  switch (name.type) {
    case "dns":
      return verdict(name, dnsName(name.value), permitted.dns, excluded.dns, comparisons);
    case "email":
      return verdict(name, mailbox(name.value), permitted.email, excluded.email, comparisons);
    case "uri":
      return verdict(name, uri(name.value), permitted.uri, excluded.uri, comparisons);
    case "ip":
      return verdict(name, address(name.value), permitted.ip, excluded.ip, comparisons);
    case "directory":
      return verdict(name, directoryName(name.value), permitted.directory, excluded.directory, comparisons);
    default:
      if (permitted.others.has(name.type) || excluded.others.has(name.type)) {
        return `its ${shown(name)} is under a constraint of a form that is not compared`;
      }
      return name.value === utf8Mailbox
        ? verdict(name, undefined, permitted.email, excluded.email, comparisons)
        : undefined;
  }
}

/** Every name that constraints hold for: the subject, mailboxes in it, and the alternative names (RFC 5280 §4.2.1.10). */
function namesOf(certificate: Certificate): readonly GeneralName[] {
  const { canonicalSubject, subjectName, alternativeNames } = certificate;
  const subject: GeneralName[] =
    canonicalSubject.length > 0 ? [{ type: "directory", value: canonicalSubject }] : [];
  const mailboxes = subjectName
    .flat()
    .flatMap(({ oid, value }): GeneralName[] =>
      oid === emailAddress ? [{ type: "email", value: value ?? "" }] : [],
    );
  return [...subject, ...mailboxes, ...alternativeNames];
}

/** Which name of a certificate breaks the constraints of an authority above it (RFC 5280 §6.1.3 (b), (c)), in words. */
export function brokenConstraint(
  certificate: Certificate,
  { permitted, excluded }: NameConstraints,
  comparisons: Comparisons,
): string | undefined {
  for (const name of namesOf(certificate)) {
    const problem = broken(name, permitted, excluded, comparisons);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
