import { keyPem, newKeys } from "../authority/keys.ts";
import { toPem } from "../authority/pem.ts";
import type { CertificateAndKey } from "../core/contexts.ts";
import { oids } from "../identity/oids.ts";
import { constructed, context, tag } from "../wire/der.ts";
import { derElement, derInteger, derOid, derText } from "../wire/der-write.ts";
import { derSignature } from "./impostor.ts";

/**
 * Certificates for the self-test alone, in the three shapes that it needs. Whoever issues them for others goes to
 * `authority/`, whose library takes a third of a start to load.
 */
export interface SelfTestAuthority {
  /** PEM. */
  readonly certificate: string;
  /** For this DNS name. */
  server(name: string): Promise<CertificateAndKey>;
  /** @param from when its one day begins, in milliseconds since 1970; half a day ago unless given */
  client(from?: number): Promise<CertificateAndKey>;
}

const dayMs = 24 * 3_600_000;
const algorithm = { name: "ECDSA", hash: "SHA-256" } as const;

const sequence = (...parts: readonly Uint8Array[]): Uint8Array => derElement(tag.sequence, ...parts);
const bits = (unused: number, value: Uint8Array): Uint8Array =>
  derElement(tag.bitString, Uint8Array.of(unused), value);
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** RFC 5280 §4.1.2.5: UTCTime through 2049. */
function time(ms: number): Uint8Array {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return digits < "2050"
    ? derElement(tag.utcTime, text(digits.slice(2)))
    : derElement(tag.generalizedTime, text(digits));
}

const named = (commonName: string): Uint8Array =>
  sequence(derElement(tag.set, sequence(derOid(oids.commonName), derText(commonName))));

/** Critical, or not. */
const extension = (oid: string, critical: boolean, value: Uint8Array): Uint8Array =>
  sequence(
    derOid(oid),
    ...(critical ? [derElement(tag.boolean, Uint8Array.of(0xff))] : []),
    derElement(tag.octetString, value),
  );

/** keyCertSign; digitalSignature (RFC 5280 §4.2.1.3). */
const authorityExtensions = [
  extension(oids.basicConstraints, true, sequence(derElement(tag.boolean, Uint8Array.of(0xff)))),
  extension(oids.keyUsage, true, bits(2, Uint8Array.of(0x04))),
];
const holderExtensions = (purpose: string): readonly Uint8Array[] => [
  extension(oids.basicConstraints, true, sequence()),
  extension(oids.keyUsage, true, bits(7, Uint8Array.of(0x80))),
  extension(oids.extendedKeyUsage, false, sequence(derOid(purpose))),
];

interface Contents {
  readonly issuer: string;
  readonly subject: string;
  readonly from: number;
  readonly publicKey: CryptoKey;
  readonly extensions: readonly Uint8Array[];
}

async function certificate(
  { issuer, subject, from, publicKey, extensions }: Contents,
  signer: CryptoKey,
): Promise<string> {
  const ecdsaWithSha256 = sequence(derOid("1.2.840.10045.4.3.2"));
  const toBeSigned = sequence(
    derElement(constructed(0), derInteger(2)),
    derInteger(1 + (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0)),
    ecdsaWithSha256,
    named(issuer),
    sequence(time(from), time(from + dayMs)),
    named(subject),
    new Uint8Array(await crypto.subtle.exportKey("spki", publicKey)),
    derElement(constructed(3), sequence(...extensions)),
  );
  const signature = await crypto.subtle.sign(algorithm, signer, toBeSigned as BufferSource);
  return toPem(
    "CERTIFICATE",
    sequence(toBeSigned, ecdsaWithSha256, bits(0, derSignature(new Uint8Array(signature)))),
  );
}

/** A new authority of that name. It and what it issues are good for a day, half of which is over: clocks may be set. */
export async function selfTestAuthority(name: string): Promise<SelfTestAuthority> {
  const began = Date.now() - dayMs / 2;
  const own = await newKeys("ecdsa");
  const issue = async (
    subject: string,
    from: number,
    extensions: readonly Uint8Array[],
  ): Promise<CertificateAndKey> => {
    const { publicKey, privateKey } = await newKeys("ecdsa");
    const contents = { issuer: name, subject, from, publicKey, extensions };
    return { cert: await certificate(contents, own.privateKey), key: await keyPem(privateKey) };
  };
  return {
    certificate: await certificate(
      { issuer: name, subject: name, from: began, publicKey: own.publicKey, extensions: authorityExtensions },
      own.privateKey,
    ),
    server: (host) => {
      const names = sequence(derElement(context(2), text(host)));
      return issue(host, began, [
        ...holderExtensions(oids.serverAuth),
        extension(oids.subjectAltName, false, names),
      ]);
    },
    client: (from = began) => issue("self-test", from, holderExtensions(oids.clientAuth)),
  };
}
