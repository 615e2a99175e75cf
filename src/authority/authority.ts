import { toPem } from "./pem.ts";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "./x509.ts";

/** A certificate with its private key, both PEM (PKCS #8). */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority as it is kept. */
export type AuthorityFiles = Issued;

export interface Person {
  readonly commonName: string;
  readonly organization?: string;
  /** Groups, written as organizational units. */
  readonly groups?: readonly string[];
  readonly emails?: readonly string[];
  readonly dnsNames?: readonly string[];
  /** A SPIFFE ID, for example. */
  readonly uris?: readonly string[];
}

const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
/** So that a machine whose clock runs behind takes a certificate that was just made. */
const clockSkewMs = 5 * 60_000;
const dayMs = 24 * 3_600_000;

/** 127 random bits: positive, and never twice (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const newKeys = (): Promise<CryptoKeyPair> =>
  crypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);

async function keyPem(key: CryptoKey): Promise<string> {
  return toPem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", key)));
}

/** A new root: ten years, ECDSA P-256, allowed to issue holders' certificates and no further authorities. */
export async function createAuthority(name: string, now = Date.now()): Promise<AuthorityFiles> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [name] }],
    notBefore: new Date(now - clockSkewMs),
    notAfter: new Date(now + 3650 * dayMs),
    keys,
    signingAlgorithm: keyAlgorithm,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${certificate.toString("pem")}\n`, key: await keyPem(keys.privateKey) };
}

/** A private key that this authority made, PEM (PKCS #8), for signing. */
export function importSigningKey(pem: string): Promise<CryptoKey> {
  const body = pem.replace(/-----(BEGIN|END) PRIVATE KEY-----|\s/g, "");
  const der = Uint8Array.from(atob(body), (c) => c.charCodeAt(0));
  return crypto.subtle.importKey("pkcs8", der, keyAlgorithm, false, ["sign"]);
}

/** Issues certificates with an authority's key. Throws when its files can't be read. */
export class Authority {
  readonly certificate: X509Certificate;
  readonly #key: CryptoKey;

  private constructor(certificate: X509Certificate, key: CryptoKey) {
    this.certificate = certificate;
    this.#key = key;
  }

  static async open(files: AuthorityFiles): Promise<Authority> {
    const key = await importSigningKey(files.key);
    return new Authority(new X509Certificate(files.cert), key);
  }

  /** A server certificate for these DNS names (wildcards too) and addresses. */
  server(names: readonly string[], lifetimeMs: number, now = Date.now()): Promise<Issued> {
    const sans: JsonGeneralNames = names.map((name) =>
      /^[\d.]+$|:/.test(name) ? { type: "ip", value: name } : { type: "dns", value: name },
    );
    return this.#issue([{ CN: [names[0] ?? ""] }], sans, ExtendedKeyUsage.serverAuth, lifetimeMs, now);
  }

  /** A client certificate. */
  client(person: Person, lifetimeMs: number, now = Date.now()): Promise<Issued> {
    const subject = [
      ...(person.organization === undefined ? [] : [{ O: [person.organization] }]),
      ...(person.groups ?? []).map((group) => ({ OU: [group] })),
      { CN: [person.commonName] },
    ];
    const sans: JsonGeneralNames = [
      ...(person.emails ?? []).map((value) => ({ type: "email" as const, value })),
      ...(person.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
      ...(person.uris ?? []).map((value) => ({ type: "url" as const, value })),
    ];
    return this.#issue(subject, sans, ExtendedKeyUsage.clientAuth, lifetimeMs, now);
  }

  async #issue(
    subject: readonly { readonly [attribute: string]: string[] }[],
    sans: JsonGeneralNames,
    purpose: ExtendedKeyUsage,
    lifetimeMs: number,
    now: number,
  ): Promise<Issued> {
    const keys = await newKeys();
    const extensions: Extension[] = [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([purpose]),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(this.certificate),
    ];
    if (sans.length > 0) extensions.push(new SubjectAlternativeNameExtension(sans));
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: subject.map((attribute) => ({ ...attribute })),
      issuer: this.certificate.subjectName,
      notBefore: new Date(now - clockSkewMs),
      // Never past the authority itself: nobody would accept it then.
      notAfter: new Date(Math.min(now + lifetimeMs, this.certificate.notAfter.getTime())),
      publicKey: keys.publicKey,
      signingKey: this.#key,
      signingAlgorithm: keyAlgorithm,
      extensions,
    });
    return { cert: `${certificate.toString("pem")}\n`, key: await keyPem(keys.privateKey) };
  }
}
