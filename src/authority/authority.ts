import { parseIp } from "../wire/ip.ts";
import { toPem } from "./pem.ts";
import { checkDnsName, checkEmail, checkServerName, checkText, checkUris, maxTextLength } from "./subject.ts";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralNames,
  type JsonNameParams,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
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

/** One RDN a value. Not as a bare string, in which the library would read escapes. */
const rdns = (type: string, values: readonly string[]): JsonNameParams =>
  values.map((utf8String) => ({ [type]: [{ utf8String }] }));

/**
 * A new root: ten years, ECDSA P-256, allowed to issue holders' certificates and no further authorities.
 *
 * @throws SubjectError when the name can't be one
 */
export async function createAuthority(name: string, now = Date.now()): Promise<AuthorityFiles> {
  checkText("commonName", name);
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: new Name(rdns("CN", [name])),
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

/** A private key that this authority made, PEM (PKCS #8), for signing. Throws where it is none. */
export async function importSigningKey(pem: string): Promise<CryptoKey> {
  const [, body] =
    /^\s*-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----\s*$/.exec(pem) ?? [];
  try {
    const der = Uint8Array.from(atob((body ?? "-").replace(/\s/g, "")), (c) => c.charCodeAt(0));
    return await crypto.subtle.importKey("pkcs8", der, keyAlgorithm, false, ["sign"]);
  } catch {
    // Whatever the library says of a key that it could not read stays unsaid.
    throw new Error("the private key can't be read: expected PEM, PKCS #8, unencrypted, ECDSA P-256");
  }
}

function readCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new Error("the certificate can't be read: expected one in PEM", { cause: error });
  }
}

async function belongTogether(certificate: X509Certificate, key: CryptoKey): Promise<boolean> {
  try {
    const publicKey = await certificate.publicKey.export(keyAlgorithm, ["verify"]);
    const probe = crypto.getRandomValues(new Uint8Array(32));
    const signature = await crypto.subtle.sign(keyAlgorithm, key, probe);
    return await crypto.subtle.verify(keyAlgorithm, publicKey, signature, probe);
  } catch {
    // Another kind of key, which this one can't be the half of.
    return false;
  }
}

/** Issues certificates with an authority's key. */
export class Authority {
  readonly certificate: X509Certificate;
  readonly #key: CryptoKey;

  private constructor(certificate: X509Certificate, key: CryptoKey) {
    this.certificate = certificate;
    this.#key = key;
  }

  /** Throws when the files can't be read, don't belong together or are no authority's. */
  static async open(files: AuthorityFiles): Promise<Authority> {
    const key = await importSigningKey(files.key);
    const certificate = readCertificate(files.cert);
    if (!(await belongTogether(certificate, key))) throw new Error("the key is not the certificate's");
    if (certificate.getExtension(BasicConstraintsExtension)?.ca !== true)
      throw new Error("the certificate is no authority's");
    return new Authority(certificate, key);
  }

  /**
   * A server certificate for these DNS names (wildcards too) and addresses.
   *
   * @throws SubjectError when one of them can't be one
   */
  async server(names: readonly string[], lifetimeMs: number, now = Date.now()): Promise<Issued> {
    for (const name of names) checkServerName(name);
    const sans: JsonGeneralNames = names.map((value) => ({
      type: parseIp(value) === null ? "dns" : "ip",
      value,
    }));
    // A common name is for people; what is too long for one stands in the alternative names alone.
    const label = names.filter((name) => name.length <= maxTextLength).slice(0, 1);
    return this.#issue(rdns("CN", label), sans, ExtendedKeyUsage.serverAuth, lifetimeMs, now);
  }

  /**
   * A client certificate.
   *
   * @throws SubjectError when something about the person can't stand in one
   */
  async client(person: Person, lifetimeMs: number, now = Date.now()): Promise<Issued> {
    const { commonName, groups = [], emails = [], dnsNames = [], uris = [] } = person;
    const organizations = person.organization === undefined ? [] : [person.organization];
    checkText("commonName", commonName);
    for (const organization of organizations) checkText("organization", organization);
    for (const group of groups) checkText("groups", group);
    for (const email of emails) checkEmail(email);
    for (const name of dnsNames) checkDnsName("dnsNames", name, false);
    checkUris(uris);
    const subject = [...rdns("O", organizations), ...rdns("OU", groups), ...rdns("CN", [commonName])];
    const sans: JsonGeneralNames = [
      ...emails.map((value) => ({ type: "email" as const, value })),
      ...dnsNames.map((value) => ({ type: "dns" as const, value })),
      ...uris.map((value) => ({ type: "url" as const, value })),
    ];
    return this.#issue(subject, sans, ExtendedKeyUsage.clientAuth, lifetimeMs, now);
  }

  async #issue(
    subject: JsonNameParams,
    sans: JsonGeneralNames,
    purpose: ExtendedKeyUsage,
    lifetimeMs: number,
    now: number,
  ): Promise<Issued> {
    const { notAfter } = this.certificate;
    if (now > notAfter.getTime()) throw new Error(`the authority expired at ${notAfter.toISOString()}`);
    const keys = await newKeys();
    const extensions: Extension[] = [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([purpose]),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(this.certificate),
    ];
    // Critical where it is all there is (RFC 5280 §4.1.2.6).
    if (sans.length > 0) extensions.push(new SubjectAlternativeNameExtension(sans, subject.length === 0));
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: new Name(subject),
      issuer: this.certificate.subjectName,
      notBefore: new Date(now - clockSkewMs),
      // Never past the authority itself: nobody would accept it then.
      notAfter: new Date(Math.min(now + lifetimeMs, notAfter.getTime())),
      publicKey: keys.publicKey,
      signingKey: this.#key,
      signingAlgorithm: keyAlgorithm,
      extensions,
    });
    return { cert: `${certificate.toString("pem")}\n`, key: await keyPem(keys.privateKey) };
  }
}
