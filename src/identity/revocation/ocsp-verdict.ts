import { type Certificate, describe, parseCertificate } from "../certificate.ts";
import { lastValid } from "../certificate-rules.ts";
import { oids } from "../oids.ts";
import { sameBytes } from "../same-bytes.ts";
import { sameName } from "../self-issued.ts";
import { signatureCheck } from "../signature.ts";
import type { CertId } from "./ocsp-request.ts";
import { type OcspResponse, parseOcspResponse } from "./ocsp-response.ts";

/** What a response comes to, and how long it holds (milliseconds since 1970). */
export type OcspVerdict =
  | { readonly status: "good" | "revoked" | "unknown"; readonly until: number }
  | { readonly status: "failed"; readonly why: string };

/** How far a responder's clock may be ahead. */
const skewMs = 5 * 60_000;
/** How long a response without an end is taken for true. */
const shortMs = 5 * 60_000;
const digitalSignature = 0;

const failed = (why: string): OcspVerdict => ({ status: "failed", why });

/** Judges a response about one certificate of this issuer (RFC 6960 §3.2). Never rejects. */
export async function judgeOcsp(
  der: Uint8Array,
  id: CertId,
  issuer: Certificate,
  now: number,
): Promise<OcspVerdict> {
  const response = parseOcspResponse(der);
  if ("malformed" in response) return failed(response.malformed);
  const single = response.responses.find(
    ({ certId }) =>
      certId.serial === id.serial &&
      sameBytes(certId.nameHash, id.nameHash) &&
      sameBytes(certId.keyHash, id.keyHash),
  );
  if (single === undefined) return failed("the response is about another certificate");
  const bad = await unsigned(response, issuer, now);
  if (bad !== undefined) return failed(bad);
  const { status, thisUpdate, nextUpdate } = single;
  if (thisUpdate > now + skewMs) return failed("the response is not valid yet");
  // Counted from its own beginning: an old answer that is sent again is an old answer.
  const until = nextUpdate ?? thisUpdate + shortMs;
  if (until < now) return failed(`the response expired at ${new Date(until).toISOString()}`);
  return { status, until };
}

/** Why nobody who may has signed a response: the issuer itself, or whom it delegated to (RFC 6960 §4.2.2.2). */
async function unsigned(
  response: OcspResponse,
  issuer: Certificate,
  now: number,
): Promise<string | undefined> {
  let why = await signedBy(response, issuer);
  if (why === undefined) return undefined;
  for (const der of response.certificates) {
    const delegate = parseCertificate(Uint8Array.from(der));
    if ("malformed" in delegate || sameBytes(delegate.raw, issuer.raw)) continue;
    const unfit = await undelegated(delegate, issuer, now);
    if (unfit !== undefined) {
      why = unfit;
      continue;
    }
    const bad = await signedBy(response, delegate);
    if (bad === undefined) return undefined;
    why = bad;
  }
  return `the response: ${why}`;
}

async function signedBy(response: OcspResponse, signer: Certificate): Promise<string | undefined> {
  const check = signatureCheck(response, signer);
  return typeof check === "string" ? check : check();
}

/** Why a certificate is no responder's of this issuer. */
async function undelegated(
  delegate: Certificate,
  issuer: Certificate,
  now: number,
): Promise<string | undefined> {
  const who = describe(delegate);
  if (!sameName(delegate.canonicalIssuer, issuer.canonicalSubject)) return `${who} is another issuer's`;
  if (delegate.extendedKeyUsage?.includes(oids.ocspSigning) !== true)
    return `${who}: its extended key usage lacks OCSPSigning`;
  if (delegate.keyUsage !== null && !delegate.keyUsage.has(digitalSignature))
    return `${who}: its key usage lacks digitalSignature`;
  if (now < delegate.notBefore || now > lastValid(delegate)) return `${who} is not valid now`;
  for (const [oid, { critical }] of delegate.extensions) {
    if (critical && !heeded.has(oid)) return `${who}: a critical extension that is not processed, ${oid}`;
  }
  const check = signatureCheck(delegate, issuer);
  return typeof check === "string" ? check : check();
}

const heeded: ReadonlySet<string> = new Set([oids.basicConstraints, oids.keyUsage, oids.extendedKeyUsage]);
