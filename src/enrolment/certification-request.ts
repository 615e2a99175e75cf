import {
  BasicConstraintsExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
} from "../authority/x509.ts";
import { type Attribute, parseName } from "../identity/name.ts";
import { unusableKey } from "../identity/signature.ts";
import { EnrolmentRefusal } from "./refusal.ts";

/** What somebody asks to have certified (RFC 2986), its signature checked. */
export interface CertificationRequest {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly subject: readonly (readonly Attribute[])[];
  /** The alternative names it asks for: `dns`, `email`, `url`, `ip` or a kind that is never granted. */
  readonly names: readonly { readonly type: string; readonly value: string }[];
}

const block =
  /^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----([A-Za-z0-9+/=\s]+)-----END (NEW )?CERTIFICATE REQUEST-----\s*$/;
const maxBytes = 16 * 1024;
const hashes: readonly unknown[] = ["SHA-256", "SHA-384", "SHA-512"];

const invalid = (detail: string): EnrolmentRefusal => new EnrolmentRefusal("request_invalid", detail);

function parse(pem: string): { readonly request: Pkcs10CertificateRequest; readonly publicKey: Uint8Array } {
  const body = block.exec(pem)?.[2];
  if (body === undefined || body.length > (maxBytes * 3) / 2)
    throw invalid("csr: expected one PKCS #10 request in PEM");
  try {
    const der = Uint8Array.from(atob(body.replace(/\s/g, "")), (c) => c.charCodeAt(0));
    const request = new Pkcs10CertificateRequest(der);
    return { request, publicKey: new Uint8Array(request.publicKey.rawData) };
  } catch {
    throw invalid("csr: is no PKCS #10 request");
  }
}

/** Proof of possession: who asks holds the private key (RFC 2986 §3). */
async function checkPossession(request: Pkcs10CertificateRequest): Promise<void> {
  const { name, hash } = request.signatureAlgorithm as { name: string; hash?: { name: string } };
  // Ed25519 has its hash built in.
  if (name !== "Ed25519" && !hashes.includes(hash?.name))
    throw invalid("csr: its signature algorithm is not accepted: expected SHA-256, SHA-384 or SHA-512");
  if (!(await request.verify()))
    throw invalid("csr: its signature is not by its own key (proof of possession)");
}

/** Reads and checks a request. Throws an `EnrolmentRefusal`: `request_invalid` or `key_unfit`. */
export async function readCertificationRequest(pem: string): Promise<CertificationRequest> {
  const { request, publicKey } = parse(pem);
  // Before anything is computed with it.
  const unfit = unusableKey(publicKey);
  if (unfit !== undefined) throw new EnrolmentRefusal("key_unfit", `csr: ${unfit}`);
  let subject: readonly (readonly Attribute[])[] | undefined;
  let names: CertificationRequest["names"];
  try {
    await checkPossession(request);
    subject = parseName(new Uint8Array(request.subjectName.toArrayBuffer()));
    if (request.extensions.some((one) => one instanceof BasicConstraintsExtension && one.ca))
      throw new EnrolmentRefusal("identity_mismatch", "csr: asks for an authority's certificate");
    names = request.extensions.flatMap((one) =>
      one instanceof SubjectAlternativeNameExtension ? one.names.toJSON() : [],
    );
  } catch (error) {
    // What the library says of bytes that it can't read is not for people.
    throw error instanceof EnrolmentRefusal ? error : invalid("csr: can't be read, or its signature checked");
  }
  if (subject === undefined) throw invalid("csr: its subject is malformed");
  return { publicKey, subject, names };
}
