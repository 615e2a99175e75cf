import { files } from "../runtime/files.ts";
import { Authority, importSigningKey, type Person } from "./authority.ts";
import { toPem } from "./pem.ts";
import { checkPerson } from "./subject.ts";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonNameParams,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  type X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from "./x509.ts";

/** Where from and for what a certificate may be used. */
export interface Limits {
  readonly sources?: readonly string[];
  readonly routes?: readonly string[];
}

/** What is to be certified: a key that its holder has proven to have, and who they are. */
export interface ClientRequest {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly person: Person;
  readonly lifetimeMs: number;
  readonly limits?: Limits;
}

/** An authority at work: it certifies keys that others made. */
export interface Issuer {
  /** PEM; the chain from the certificate's issuer on; `expires` in ISO 8601. Throws a `SubjectError`. */
  issueClient(
    request: ClientRequest,
    now?: number,
  ): Promise<{ certificate: string; chain: readonly string[]; serial: string; expires: string }>;
  /** Its certificates, PEM, the root last. */
  readonly chain: readonly string[];
  /** What it has revoked, PEM. */
  crl(): Promise<string>;
}

const signingAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const clockSkewMs = 5 * 60_000;
const crlMs = 24 * 3_600_000;

const rdns = (type: string, values: readonly string[]): JsonNameParams =>
  values.map((utf8String) => ({ [type]: [{ utf8String }] }));

async function extensionsOf(
  { emails = [], dnsNames = [], uris = [] }: Person,
  key: PublicKey,
  issuer: X509Certificate,
): Promise<Extension[]> {
  const names = [
    ...emails.map((value) => ({ type: "email" as const, value })),
    ...dnsNames.map((value) => ({ type: "dns" as const, value })),
    ...uris.map((value) => ({ type: "url" as const, value })),
  ];
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
    await SubjectKeyIdentifierExtension.create(key),
    await AuthorityKeyIdentifierExtension.create(issuer),
    ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
  ];
}

/** The authority in a folder. Throws with words for people where there is none. */
export async function openIssuer(directory: string): Promise<Issuer> {
  const pair = { cert: files.read(`${directory}/ca.crt`), key: files.read(`${directory}/ca.key`) };
  const { certificate: issuer } = await Authority.open(pair);
  const signingKey = await importSigningKey(pair.key);
  const chain = [`${issuer.toString("pem")}\n`];
  return {
    chain,
    issueClient: async ({ publicKey, person, lifetimeMs, limits }, now = Date.now()) => {
      checkPerson(person);
      // Better none than one without its limits.
      if (limits !== undefined) throw new Error("this authority can't limit where a certificate is used");
      if (now > issuer.notAfter.getTime())
        throw new Error(`the authority expired at ${issuer.notAfter.toISOString()}`);
      const key = new PublicKey(publicKey as BufferSource);
      const { commonName, organization, groups = [] } = person;
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      // Positive, and of one length (RFC 5280 §4.1.2.2).
      bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
      const serial = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      const made = await X509CertificateGenerator.create({
        serialNumber: serial,
        subject: new Name([
          ...rdns("O", organization === undefined ? [] : [organization]),
          ...rdns("OU", groups),
          ...rdns("CN", [commonName]),
        ]),
        issuer: issuer.subjectName,
        notBefore: new Date(now - clockSkewMs),
        notAfter: new Date(Math.min(now + lifetimeMs, issuer.notAfter.getTime())),
        publicKey: key,
        signingKey,
        signingAlgorithm,
        extensions: await extensionsOf(person, key, issuer),
      });
      const expires = made.notAfter.toISOString();
      return { certificate: `${made.toString("pem")}\n`, chain, serial, expires };
    },
    crl: async () => {
      const list = await X509CrlGenerator.create({
        issuer: issuer.subjectName,
        thisUpdate: new Date(),
        nextUpdate: new Date(Date.now() + crlMs),
        entries: [],
        extensions: [await AuthorityKeyIdentifierExtension.create(issuer)],
        signingKey,
        signingAlgorithm,
      });
      return toPem("X509 CRL", new Uint8Array(list.rawData));
    },
  };
}
