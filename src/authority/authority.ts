import { parseCertificate } from "../identity/certificate.ts";
import { brokenConstraint } from "../identity/constrained-names.ts";
import { encodeGrants, grantsOid } from "../identity/grants.ts";
import { oids } from "../identity/oids.ts";
import { parseCidr, parseIp } from "../wire/ip.ts";
import { importSigningKey, type KeyKind, keyPem, newKeys, type SigningKey } from "./keys.ts";
import { nameConstraints, type Permitted } from "./name-constraints.ts";
import {
  checkDnsName,
  checkPerson,
  checkServerName,
  checkText,
  maxTextLength,
  type Person,
  SubjectError,
} from "./subject.ts";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  type JsonGeneralNames,
  type JsonNameParams,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "./x509.ts";

/** A certificate with its private key, both PEM (PKCS #8). The chain, the root aside, follows the certificate. */
export interface Issued {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority as it is kept. */
export type AuthorityFiles = Issued;

/** Where from and for what a certificate may be used. */
export interface Limits {
  /** Networks (CIDR). */
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

/** So that a machine whose clock runs behind takes a certificate that was just made. */
const clockSkewMs = 5 * 60_000;
const dayMs = 24 * 3_600_000;
const authorityLifetimeMs = 3650 * dayMs;
/** Names of a holder times constraints of an authority: more than either is made with. */
const maxComparisons = 100_000;

/** 127 random bits: positive, and never twice (RFC 5280 §4.1.2.2). */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** One RDN a value. Not as a bare string, in which the library would read escapes. */
const rdns = (type: string, values: readonly string[]): JsonNameParams =>
  values.map((utf8String) => ({ [type]: [{ utf8String }] }));

const pem = (certificate: X509Certificate): string => `${certificate.toString("pem")}\n`;

export interface RootOptions {
  readonly algorithm?: KeyKind;
  /** How many authorities there may be between it and a holder's certificate; none unless given. */
  readonly authoritiesBelow?: number;
}

/**
 * A new root: ten years, allowed to issue certificates.
 *
 * @throws SubjectError when the name can't be one
 */
export async function createAuthority(
  name: string,
  { algorithm = "ecdsa", authoritiesBelow = 0 }: RootOptions = {},
  now = Date.now(),
): Promise<AuthorityFiles> {
  checkText("commonName", name);
  const keys = await newKeys(algorithm);
  const key = await keyPem(keys.privateKey);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: new Name(rdns("CN", [name])),
    notBefore: new Date(now - clockSkewMs),
    notAfter: new Date(now + authorityLifetimeMs),
    keys,
    signingAlgorithm: (await importSigningKey(key)).algorithm,
    extensions: [
      new BasicConstraintsExtension(true, authoritiesBelow, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: pem(certificate), key };
}

function readCertificate(text: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (error) {
    throw new Error("the certificate can't be read: expected one in PEM", { cause: error });
  }
}

async function belongTogether(
  certificate: X509Certificate,
  { key, algorithm }: SigningKey,
): Promise<boolean> {
  try {
    const publicKey = await certificate.publicKey.export(algorithm, ["verify"]);
    const probe = crypto.getRandomValues(new Uint8Array(32));
    const signature = await crypto.subtle.sign(algorithm, key, probe);
    return await crypto.subtle.verify(algorithm, publicKey, signature, probe);
  } catch {
    // Another kind of key, which this one can't be the half of.
    return false;
  }
}

/** What is to stand in a certificate beside what stands in each. */
interface Contents {
  readonly subject: JsonNameParams;
  readonly publicKey: PublicKey | CryptoKey;
  readonly lifetimeMs: number;
  readonly extensions: readonly Extension[];
}

/** The end-entity extensions that holders of every kind have. */
const holderExtensions = (
  purposes: readonly ExtendedKeyUsage[],
  names: JsonGeneralNames,
  named: boolean,
): Extension[] => [
  new BasicConstraintsExtension(false, undefined, true),
  new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
  new ExtendedKeyUsageExtension([...purposes]),
  // Critical where it is all there is (RFC 5280 §4.1.2.6).
  ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names, !named)]),
];

function grantsExtension(groups: readonly string[], { sources, routes }: Limits): Extension[] {
  if (groups.length === 0 && sources === undefined && routes === undefined) return [];
  const networks = sources?.map((text) => {
    const cidr = parseCidr(text);
    if (cidr === null) throw new Error(`${JSON.stringify(text)} is no network`);
    return cidr;
  });
  const value = encodeGrants({ groups, sources: networks ?? null, routes: routes ?? null });
  return [new Extension(grantsOid, false, value as BufferSource)];
}

/** Nobody would accept it (RFC 5280 §4.2.1.10): better said here than wondered about there. */
function refuseBeyondLimits(made: X509Certificate, issuer: X509Certificate): void {
  const [holder, authority] = [made, issuer].map((one) => parseCertificate(new Uint8Array(one.rawData)));
  if (holder === undefined || authority === undefined || "malformed" in holder || "malformed" in authority)
    throw new Error("a certificate that can't be read");
  const { nameConstraints: limits } = authority;
  const broken = limits === null ? undefined : brokenConstraint(holder, limits, { left: maxComparisons });
  if (broken !== undefined)
    throw new SubjectError("limits", `the authority can't vouch for every name: ${broken}`);
}

/** Issues certificates with an authority's key. */
export class Authority {
  readonly certificate: X509Certificate;
  /** PEM: its own certificate first, the root last. */
  readonly chain: readonly string[];
  readonly #key: SigningKey;

  private constructor(certificate: X509Certificate, above: readonly string[], key: SigningKey) {
    this.certificate = certificate;
    this.chain = [pem(certificate), ...above];
    this.#key = key;
  }

  /**
   * Throws when the files can't be read, don't belong together or are no authority's.
   *
   * @param above PEM of the authorities above it, the root last
   */
  static async open(
    files: AuthorityFiles,
    { above = [], passphrase }: { readonly above?: readonly string[]; readonly passphrase?: string } = {},
  ): Promise<Authority> {
    const key = await importSigningKey(files.key, passphrase);
    const certificate = readCertificate(files.cert);
    if (!(await belongTogether(certificate, key))) throw new Error("the key is not the certificate's");
    if (certificate.getExtension(BasicConstraintsExtension)?.ca !== true)
      throw new Error("the certificate is no authority's");
    return new Authority(certificate, above, key);
  }

  /** The key it signs with, for lists of what it revoked. */
  get signer(): SigningKey {
    return this.#key;
  }

  /**
   * An authority below this one, which issues holders' certificates and no further authorities.
   *
   * @throws SubjectError when the name, or one that it is to be limited to, can't be one
   */
  async authority(
    name: string,
    { algorithm = "ecdsa", permitted }: { readonly algorithm?: KeyKind; readonly permitted?: Permitted } = {},
    now = Date.now(),
  ): Promise<Issued> {
    const limits = permitted === undefined ? [] : nameConstraints(permitted);
    return this.#authorityBelow(name, algorithm, limits, now);
  }

  /** A new key and certificate for an authority below this one, which is otherwise as it was. */
  async renewed(former: Authority, now = Date.now()): Promise<Issued> {
    const { certificate, signer } = former;
    const [name = ""] = certificate.subjectName.getField("CN");
    const limits = certificate.extensions.filter(({ type }) => type === oids.nameConstraints);
    return this.#authorityBelow(name, signer.kind, limits, now);
  }

  async #authorityBelow(
    name: string,
    algorithm: KeyKind,
    limits: readonly Extension[],
    now: number,
  ): Promise<Issued> {
    checkText("commonName", name);
    const keys = await newKeys(algorithm);
    const contents = {
      subject: rdns("CN", [name]),
      publicKey: keys.publicKey,
      lifetimeMs: authorityLifetimeMs,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        ...limits,
      ],
    };
    return { cert: pem(await this.#certify(contents, now)), key: await keyPem(keys.privateKey) };
  }

  /**
   * A server certificate for these DNS names (wildcards too) and addresses.
   *
   * @throws SubjectError when one of them can't be one
   */
  async server(
    names: readonly string[],
    lifetimeMs: number,
    now = Date.now(),
    algorithm: KeyKind = "ecdsa",
  ): Promise<Issued> {
    for (const name of names) checkServerName(name);
    const sans: JsonGeneralNames = names.map((value) => ({
      type: parseIp(value) === null ? "dns" : "ip",
      value,
    }));
    // A common name is for people; what is too long for one stands in the alternative names alone.
    const label = names.filter((name) => name.length <= maxTextLength).slice(0, 1);
    const keys = await newKeys(algorithm);
    const contents = {
      subject: rdns("CN", label),
      publicKey: keys.publicKey,
      lifetimeMs,
      extensions: holderExtensions([ExtendedKeyUsage.serverAuth], sans, label.length > 0),
    };
    return this.#withChain(await this.#certify(contents, now), keys);
  }

  /**
   * A client certificate with a new key.
   *
   * @throws SubjectError when something about the person can't stand in one
   */
  async client(
    person: Person,
    lifetimeMs: number,
    now = Date.now(),
    { algorithm = "ecdsa", limits = {} }: { readonly algorithm?: KeyKind; readonly limits?: Limits } = {},
  ): Promise<Issued> {
    const keys = await newKeys(algorithm);
    const publicKey = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
    return this.#withChain(await this.certify({ publicKey, person, lifetimeMs, limits }, now), keys);
  }

  /**
   * A client certificate for a key that somebody else made.
   *
   * @throws SubjectError when something about the person can't stand in one
   */
  async certify(request: ClientRequest, now = Date.now()): Promise<X509Certificate> {
    return this.#certifyPerson(request, [ExtendedKeyUsage.clientAuth], now);
  }

  /**
   * A certificate with a new key that one router shows others, whether it dials them or they dial it.
   *
   * @param host the name that all of them have
   * @throws SubjectError when something about it can't stand in one
   */
  async router(
    router: Omit<Person, "dnsNames">,
    host: string,
    lifetimeMs: number,
    now = Date.now(),
    algorithm: KeyKind = "ecdsa",
  ): Promise<Issued> {
    checkDnsName("names", host, false);
    const person = { ...router, dnsNames: [host] };
    const keys = await newKeys(algorithm);
    const publicKey = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
    const purposes = [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth];
    return this.#withChain(await this.#certifyPerson({ publicKey, person, lifetimeMs }, purposes, now), keys);
  }

  async #certifyPerson(
    { person, publicKey, lifetimeMs, limits = {} }: ClientRequest,
    purposes: readonly ExtendedKeyUsage[],
    now: number,
  ): Promise<X509Certificate> {
    checkPerson(person);
    const { commonName, groups = [], emails = [], dnsNames = [], uris = [] } = person;
    const organizations = person.organization === undefined ? [] : [person.organization];
    const sans: JsonGeneralNames = [
      ...emails.map((value) => ({ type: "email" as const, value })),
      ...dnsNames.map((value) => ({ type: "dns" as const, value })),
      ...uris.map((value) => ({ type: "url" as const, value })),
    ];
    const contents = {
      subject: [...rdns("O", organizations), ...rdns("OU", groups), ...rdns("CN", [commonName])],
      publicKey: new PublicKey(publicKey as BufferSource),
      lifetimeMs,
      extensions: [...holderExtensions(purposes, sans, true), ...grantsExtension(groups, limits)],
    };
    return this.#certify(contents, now);
  }

  async #certify({ subject, publicKey, lifetimeMs, extensions }: Contents, now: number) {
    const { notAfter } = this.certificate;
    if (now > notAfter.getTime()) throw new Error(`the authority expired at ${notAfter.toISOString()}`);
    const made = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: new Name(subject),
      issuer: this.certificate.subjectName,
      notBefore: new Date(now - clockSkewMs),
      // Never past the authority itself: nobody would accept it then.
      notAfter: new Date(Math.min(now + lifetimeMs, notAfter.getTime())),
      publicKey,
      signingKey: this.#key.key,
      signingAlgorithm: this.#key.algorithm,
      extensions: [
        ...extensions,
        await SubjectKeyIdentifierExtension.create(publicKey),
        await AuthorityKeyIdentifierExtension.create(this.certificate),
      ],
    });
    refuseBeyondLimits(made, this.certificate);
    return made;
  }

  async #withChain(certificate: X509Certificate, keys: CryptoKeyPair): Promise<Issued> {
    const between = this.chain.slice(0, -1);
    return { cert: [pem(certificate), ...between].join(""), key: await keyPem(keys.privateKey) };
  }
}
