import { certificatesFromPem } from "../../src/authority/pem.ts";
import { type Certificate, parseCertificate } from "../../src/identity/certificate.ts";
import { validatePath } from "../../src/identity/chain.ts";
import { oids } from "../../src/identity/oids.ts";
import type { PeerName } from "../../src/identity/peer-name.ts";
import type { Profile } from "../../src/identity/profile.ts";
import type { Purpose } from "../../src/identity/question.ts";
import { RevocationLists } from "../../src/identity/revocation/lists.ts";
import { listsIn } from "../../src/revocation/read-lists.ts";
import { parseIp } from "../../src/wire/ip.ts";

interface Name {
  readonly kind: "DNS" | "IP" | "RFC822";
  readonly value: string;
}

/** A case of x509-limbo, as far as it is read here; the suite's `limbo.json` has a schema of its own. */
export interface Testcase {
  readonly id: string;
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_kind: "SERVER" | "CLIENT";
  readonly validation_time: string | null;
  readonly expected_peer_name: Name | null;
  readonly expected_peer_names: readonly Name[] | null;
  readonly extended_key_usage: readonly string[] | null;
  readonly key_usage: readonly string[] | null;
  readonly signature_algorithms: readonly string[] | null;
  readonly max_chain_depth: number | null;
  readonly crls?: readonly string[] | null;
  readonly expected_result: "SUCCESS" | "FAILURE";
}

export interface Suite {
  readonly testcases: readonly Testcase[];
}

/** What the verifier makes of a case: why it refuses, or `null` where it accepts. */
export type Verdict = string | null;

const purposes: Readonly<Record<string, string>> = {
  anyExtendedKeyUsage: oids.anyPurpose,
  serverAuth: oids.serverAuth,
  clientAuth: oids.clientAuth,
  codeSigning: "1.3.6.1.5.5.7.3.3",
  emailProtection: "1.3.6.1.5.5.7.3.4",
  timeStamping: "1.3.6.1.5.5.7.3.8",
  OCSPSigning: "1.3.6.1.5.5.7.3.9",
};
/** In the order of their bits (RFC 5280 §4.2.1.3). */
const usages = [
  "digitalSignature",
  "contentCommitment",
  "keyEncipherment",
  "dataEncipherment",
  "keyAgreement",
  "keyCertSign",
  "cRLSign",
  "encipherOnly",
  "decipherOnly",
];

/** The suite's namespaces say whose rules a case is about. */
const profileOf = (id: string): Profile =>
  id.startsWith("rfc5280::") ? "rfc5280" : id.startsWith("webpki::") ? "webpki" : "private";
/** Those about lists have lists by RFC 5280, below authorities of all sorts. */
const listProfileOf = (id: string): Profile => (id.startsWith("crl::") ? "rfc5280" : profileOf(id));

/** What is asked for may be neither: mail, for example. */
function purposeOf({ validation_kind: kind, extended_key_usage: asked }: Testcase): Purpose {
  const own = kind === "CLIENT" ? "client" : "server";
  return asked?.length && !asked.includes(`${own}Auth`) ? "other" : own;
}

const parse = (pem: string) => parseCertificate(certificatesFromPem(pem)[0] ?? new Uint8Array(0));
const isCertificate = (one: ReturnType<typeof parse>): one is Certificate => !("malformed" in one);

function peerName({ kind, value }: Name): PeerName {
  if (kind === "DNS") return { type: "dns", value };
  if (kind === "RFC822") return { type: "email", value };
  return { type: "ip", value: Uint8Array.from(parseIp(value) ?? []) };
}

function known<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`the reader does not know ${what}`);
  return value;
}

/** Lists that can't be used are missed, as those that can't be had. */
function revocation(pems: readonly string[]): RevocationLists {
  const missing: string[] = [];
  const lists = pems.flatMap((pem) => {
    try {
      return listsIn(new TextEncoder().encode(pem));
    } catch (error) {
      missing.push(error instanceof Error ? error.message : String(error));
      return [];
    }
  });
  return new RevocationLists(lists, "hard", missing);
}

/** Asks the verifier about one case. Throws where the case says something that the reader can't pass on. */
export async function judge(testcase: Testcase): Promise<Verdict> {
  const leaf = parse(testcase.peer_certificate);
  const anchors = testcase.trusted_certs.map(parse);
  if (!isCertificate(leaf)) return `malformed: ${leaf.malformed}`;
  const [bad] = anchors;
  // One that can't be read is no anchor, and no harm to the others.
  if (bad !== undefined && !isCertificate(bad) && !anchors.some(isCertificate))
    return `a malformed anchor: ${bad.malformed}`;
  if (testcase.signature_algorithms?.length)
    throw new Error("the reader can't choose the signature algorithms");
  const names = [testcase.expected_peer_name, ...(testcase.expected_peer_names ?? [])];
  const profile = profileOf(testcase.id);
  const now = testcase.validation_time ? Date.parse(testcase.validation_time) : Date.now();
  const lists = revocation(testcase.crls ?? []);
  const result = await validatePath({
    leaf,
    anchors: anchors.filter(isCertificate),
    intermediates: testcase.untrusted_intermediates.map(parse).filter(isCertificate),
    purpose: purposeOf(testcase),
    now,
    profile,
    // Path validation alone is what all but these cases are about.
    pathOnly: profile !== "webpki",
    peerNames: names.flatMap((name) => (name ? [peerName(name)] : [])),
    keyUsage: (testcase.key_usage ?? []).map((name) => known(usages.indexOf(name), name)),
    extendedKeyUsage: (testcase.extended_key_usage ?? []).map((name) => known(purposes[name], name)),
    revocation: async (path) =>
      (await lists.check(path, now, listProfileOf(testcase.id))).failure ?? undefined,
    ...(typeof testcase.max_chain_depth === "number" ? { maxIntermediates: testcase.max_chain_depth } : {}),
  });
  return result.ok ? null : result.failure.detail;
}

/** Whether the verifier judges as the suite expects. */
export const agrees = (testcase: Testcase, verdict: Verdict): boolean =>
  (verdict === null) === (testcase.expected_result === "SUCCESS");
