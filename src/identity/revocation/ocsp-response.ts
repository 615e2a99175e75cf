import {
  constructed,
  context,
  generalizedTime,
  objectIdentifier,
  only,
  sequence,
  type Tlv,
  tag,
} from "../../wire/der.ts";
import { type Extension, parseExtensionList } from "../extensions.ts";
import { Malformed, must } from "../malformed.ts";
import { sameBytes } from "../same-bytes.ts";
import { serialText } from "../serial.ts";
import type { Signed } from "../signature.ts";
import { type CertId, sha1Algorithm } from "./ocsp-request.ts";

/** What a responder says of one certificate (RFC 6960 §4.2.1). */
export interface SingleResponse {
  readonly certId: CertId;
  readonly status: "good" | "revoked" | "unknown";
  /** Milliseconds since 1970; without a `nextUpdate` there is newer word at any time. */
  readonly thisUpdate: number;
  readonly nextUpdate: number | null;
}

/** A BasicOCSPResponse taken apart. Nothing about it is verified. */
export interface OcspResponse extends Signed {
  readonly responses: readonly SingleResponse[];
  /** DER. */
  readonly certificates: readonly Uint8Array[];
}

const basicResponse = "1.3.6.1.5.5.7.48.1.1";
const statuses = ["", "malformedRequest", "internalError", "tryLater", "", "sigRequired", "unauthorized"];
/** Certificates that are looked at: the responder's own is one. */
const maxCertificates = 8;

/** Takes a response apart. Answers with words where it is none, or says that there is no answer. */
export function parseOcspResponse(der: Uint8Array): OcspResponse | { readonly malformed: string } {
  try {
    return parse(der);
  } catch (error) {
    if (error instanceof Malformed) return { malformed: error.message };
    throw error;
  }
}

function parse(der: Uint8Array): OcspResponse {
  const [status, wrapped, ...rest] = must(sequence(der), "no OCSP response");
  const code = status?.tag === tag.enumerated && status.value.length === 1 ? status.value[0] : undefined;
  if (code !== 0) throw new Malformed(`the responder says ${statuses[code ?? 0] || "nothing"}`);
  if (wrapped?.tag !== constructed(0) || rest.length > 0) throw new Malformed("no response in it");
  const [type, body] = must(sequence(wrapped.value), "the response");
  if (objectIdentifier(type) !== basicResponse) throw new Malformed("a kind of response that is not known");
  const [tbs, algorithm, signature, certificates] = must(
    sequence(must(body?.tag === tag.octetString ? body : undefined, "the response").value),
    "the basic response",
  );
  const algorithmRaw = must(only(algorithm?.raw, tag.sequence)?.raw, "the signature algorithm");
  const bits =
    signature?.tag === tag.bitString && signature.value[0] === 0 ? signature.value.subarray(1) : undefined;
  return {
    tbs: must(tbs?.raw, "no signed part"),
    algorithm: algorithmRaw,
    // There is no second one inside.
    innerAlgorithm: algorithmRaw,
    signature: must(bits, "the signature"),
    responses: parseData(must(tbs, "no signed part")),
    certificates:
      certificates?.tag === constructed(0)
        ? must(sequence(certificates.value), "the certificates")
            .slice(0, maxCertificates)
            .map(({ raw }) => raw)
        : [],
  };
}

function parseData(tbs: Tlv): SingleResponse[] {
  const fields = must(sequence(tbs.raw), "the response's data");
  if (fields[0]?.tag === constructed(0)) throw new Malformed("a version that is not known");
  const [responder, produced, responses, extensions, ...rest] = fields;
  const identified = responder?.tag === constructed(1) || responder?.tag === constructed(2);
  if (!identified || generalizedTime(produced) === undefined || rest.length > 0)
    throw new Malformed("the response's data");
  checkExtensions(extensions);
  return must(sequence(responses?.raw), "the single responses").map(parseSingle);
}

function parseSingle(element: Tlv): SingleResponse {
  const [certId, status, thisUpdate, ...tail] = must(sequence(element.raw), "a single response");
  const next = tail[0]?.tag === constructed(0) ? tail.shift() : undefined;
  checkExtensions(tail.shift());
  if (tail.length > 0) throw new Malformed("a single response");
  return {
    certId: parseCertId(must(certId, "a single response")),
    status: statusOf(status),
    thisUpdate: must(generalizedTime(thisUpdate), "thisUpdate of a response"),
    nextUpdate:
      next === undefined
        ? null
        : must(generalizedTime(only(next.value, tag.generalizedTime)), "nextUpdate of a response"),
  };
}

function statusOf(element: Tlv | undefined): SingleResponse["status"] {
  if (element?.tag === context(0)) return "good";
  if (element?.tag === constructed(1)) return "revoked";
  if (element?.tag === context(2)) return "unknown";
  throw new Malformed("the status of a certificate");
}

function parseCertId(element: Tlv): CertId {
  const [algorithm, name, key, serial] = must(sequence(element.raw), "a certificate's id");
  // With or without NULL parameters.
  const known =
    algorithm !== undefined &&
    (sameBytes(algorithm.raw, sha1Algorithm) || sameBytes(algorithm.raw, bareSha1));
  return {
    // Of another hash than was asked by: it names nobody here.
    nameHash: known && name?.tag === tag.octetString ? name.value : new Uint8Array(0),
    keyHash: known && key?.tag === tag.octetString ? key.value : new Uint8Array(0),
    serial: serialText(serial),
  };
}

const bareSha1 = Uint8Array.of(0x30, 7, 0x06, 5, 0x2b, 14, 3, 2, 26);

function checkExtensions(wrapped: Tlv | undefined): void {
  if (wrapped === undefined) return;
  if (wrapped.tag !== constructed(1)) throw new Malformed("parts after the responses");
  const extensions: ReadonlyMap<string, Extension> = parseExtensionList(wrapped.value);
  for (const [oid, { critical }] of extensions)
    if (critical) throw new Malformed(`a critical extension that is not processed, ${oid} (RFC 6960 §4.4)`);
}
