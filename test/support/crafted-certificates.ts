import { constants, createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import {
  type Bytes,
  bits,
  bool,
  explicit,
  integer,
  nul,
  octets,
  oid,
  seq,
  set,
  time,
  tlv,
  utf8,
} from "./der.ts";

/**
 * Good certificates and deliberately bad ones, down to the octet. They share no code with what they
 * test: DER is written here by hand and signed by the runtime's own library.
 */
export type KeyKind = "P-256" | "P-384" | "P-521" | "RSA-1024" | "RSA-2048" | "Ed25519" | "secp256k1";
export type SignatureKind =
  | "ecdsa-sha256"
  | "ecdsa-sha384"
  | "ecdsa-sha512"
  | "ecdsa-sha1"
  | "rsa-sha256"
  | "rsa-sha384"
  | "rsa-sha512"
  | "rsa-sha1"
  | "rsa-md5"
  | "pss-sha256"
  | "pss-sha384"
  | "ed25519";

export interface Keys {
  readonly kind: KeyKind;
  readonly privateKey: KeyObject;
  readonly spki: Bytes;
}

export function newKeys(kind: KeyKind = "P-256"): Keys {
  const { publicKey, privateKey } =
    kind === "Ed25519"
      ? generateKeyPairSync("ed25519")
      : kind.startsWith("RSA")
        ? generateKeyPairSync("rsa", { modulusLength: Number(kind.slice(4)) })
        : generateKeyPairSync("ec", { namedCurve: kind });
  return { kind, privateKey, spki: Uint8Array.from(publicKey.export({ type: "spki", format: "der" })) };
}

const hashOids: Readonly<Record<string, string>> = {
  sha256: "2.16.840.1.101.3.4.2.1",
  sha384: "2.16.840.1.101.3.4.2.2",
};

function pssAlgorithm(hash: string, saltLength: number): Bytes {
  const hashId = seq(oid(hashOids[hash] ?? ""), nul);
  return seq(
    oid("1.2.840.113549.1.1.10"),
    seq(
      explicit(0, hashId),
      explicit(1, seq(oid("1.2.840.113549.1.1.8"), hashId)),
      explicit(2, integer(saltLength.toString(16).padStart(2, "0"))),
    ),
  );
}

/** AlgorithmIdentifiers, for certificates whose two must differ too. */
export const algorithms: Readonly<Record<SignatureKind, Bytes>> = {
  "ecdsa-sha1": seq(oid("1.2.840.10045.4.1")),
  "ecdsa-sha256": seq(oid("1.2.840.10045.4.3.2")),
  "ecdsa-sha384": seq(oid("1.2.840.10045.4.3.3")),
  "ecdsa-sha512": seq(oid("1.2.840.10045.4.3.4")),
  "rsa-md5": seq(oid("1.2.840.113549.1.1.4"), nul),
  "rsa-sha1": seq(oid("1.2.840.113549.1.1.5"), nul),
  "rsa-sha256": seq(oid("1.2.840.113549.1.1.11"), nul),
  "rsa-sha384": seq(oid("1.2.840.113549.1.1.12"), nul),
  "rsa-sha512": seq(oid("1.2.840.113549.1.1.13"), nul),
  "pss-sha256": pssAlgorithm("sha256", 32),
  "pss-sha384": pssAlgorithm("sha384", 48),
  ed25519: seq(oid("1.3.101.112")),
};

export function signed(tbs: Bytes, keys: Keys, kind: SignatureKind): Bytes {
  const [family = "", hash = ""] = kind.split("-");
  if (family === "ed25519") return Uint8Array.from(sign(null, tbs, keys.privateKey));
  const key = { key: keys.privateKey };
  if (family !== "pss") return Uint8Array.from(sign(hash, tbs, key));
  const saltLength = hash === "sha384" ? 48 : 32;
  return Uint8Array.from(sign(hash, tbs, { ...key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }));
}

export const defaultSignature = (kind: KeyKind): SignatureKind =>
  kind === "Ed25519" ? "ed25519" : kind.startsWith("RSA") ? "rsa-sha256" : "ecdsa-sha256";

const attributeOids: Readonly<Record<string, string>> = {
  CN: "2.5.4.3",
  C: "2.5.4.6",
  O: "2.5.4.10",
  OU: "2.5.4.11",
  emailAddress: "1.2.840.113549.1.9.1",
};

export const attribute = (type: string, value: string | Bytes): Bytes =>
  seq(oid(attributeOids[type] ?? type), typeof value === "string" ? utf8(value) : value);

/** A distinguished name, in the order of its RDNs: `name(["O", "Example"], ["CN", "alice"])`. */
export const name = (...attributes: readonly (readonly [type: string, value: string | Bytes])[]): Bytes =>
  seq(...attributes.map(([type, value]) => set(attribute(type, value))));

export const extension = (type: string, value: Bytes, critical = false): Bytes =>
  seq(oid(type), ...(critical ? [bool(true)] : []), octets(value));

export const basicConstraints = (ca: boolean, pathLength?: number, critical = true): Bytes =>
  extension(
    "2.5.29.19",
    seq(
      ...(ca ? [bool(true)] : []),
      ...(pathLength === undefined ? [] : [integer(pathLength.toString(16).padStart(2, "0"))]),
    ),
    critical,
  );

export const usages = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const;

export function keyUsage(...wanted: readonly (keyof typeof usages)[]): Bytes {
  const positions: readonly number[] = wanted.map((usage) => usages[usage]);
  const byte = positions.reduce((sum, position) => sum | (0x80 >> position), 0);
  return extension("2.5.29.15", bits(Uint8Array.of(byte), 7 - Math.max(...positions)), true);
}

export const purposes = {
  clientAuth: "1.3.6.1.5.5.7.3.2",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  ocspSigning: "1.3.6.1.5.5.7.3.9",
  any: "2.5.29.37.0",
} as const;

export const extendedKeyUsage = (...wanted: readonly (keyof typeof purposes)[]): Bytes =>
  extension("2.5.29.37", seq(...wanted.map((purpose) => oid(purposes[purpose]))));

export interface AltNames {
  readonly dns?: readonly string[];
  readonly email?: readonly string[];
  readonly uri?: readonly string[];
  readonly ip?: readonly Bytes[];
}

export function subjectAltName(names: AltNames, critical = false): Bytes {
  const texts = (tag: number, values: readonly string[] = []): Bytes[] =>
    values.map((value) => tlv(tag, Buffer.from(value, "latin1")));
  const all = [
    ...texts(0x81, names.email),
    ...texts(0x82, names.dns),
    ...texts(0x86, names.uri),
    ...(names.ip ?? []).map((value) => tlv(0x87, value)),
  ];
  return extension("2.5.29.17", seq(...all), critical);
}

/** A name constraint: only DNS names below `domain`. */
export const nameConstraints = (domain: string, critical: boolean): Bytes =>
  extension("2.5.29.30", seq(explicit(0, seq(tlv(0x82, Buffer.from(domain))))), critical);

const keyId = (keys: Keys): Bytes => Uint8Array.from(createHash("sha1").update(keys.spki).digest());

/** Everything about a certificate that a test may want otherwise. */
export interface Plan {
  readonly subject?: Bytes;
  readonly keys?: Keys;
  /** 3 unless given; 1 has neither a version field nor extensions. */
  readonly version?: number;
  /** The octets of the INTEGER, in hexadecimal. */
  readonly serial?: string;
  readonly notBefore?: number;
  readonly notAfter?: number;
  /** Beside the key identifiers, which are there in version 3 unless left out. */
  readonly extensions?: readonly Bytes[];
  /** The key identifier (its extension's type) to leave out. */
  readonly without?: "2.5.29.14" | "2.5.29.35";
  readonly signature?: SignatureKind;
  /** The AlgorithmIdentifier outside the signed part, where it is to differ. */
  readonly outer?: SignatureKind;
  /** The issuer's name, where it is to differ. */
  readonly issuer?: Bytes;
  /** Turns one bit of the signature. */
  readonly tampered?: boolean;
}

/** A certificate with what it takes to issue with it. */
export interface Holder {
  readonly name: Bytes;
  readonly keys: Keys;
  readonly der: Bytes;
}

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;
let serials = 0;

/** One certificate as planned; self-signed where there is no issuer. */
export function certify(issuer: Holder | null, plan: Plan): Holder {
  const now = Date.now();
  const keys = plan.keys ?? newKeys();
  const subject = plan.subject ?? name(["CN", "nobody"]);
  const signer = issuer?.keys ?? keys;
  const signature = plan.signature ?? defaultSignature(signer.kind);
  const version = plan.version ?? 3;
  const extensions = [
    ...(plan.without === "2.5.29.14" ? [] : [extension("2.5.29.14", octets(keyId(keys)))]),
    ...(plan.without === "2.5.29.35" ? [] : [extension("2.5.29.35", seq(tlv(0x80, keyId(signer))))]),
    ...(plan.extensions ?? []),
  ];
  const tbs = seq(
    ...(version === 1 ? [] : [explicit(0, integer((version - 1).toString(16).padStart(2, "0")))]),
    integer(plan.serial ?? `01${(++serials).toString(16).padStart(6, "0")}`),
    algorithms[signature],
    plan.issuer ?? issuer?.name ?? subject,
    seq(time(plan.notBefore ?? now - hourMs), time(plan.notAfter ?? now + dayMs)),
    subject,
    keys.spki,
    ...(version === 1 ? [] : [explicit(3, seq(...extensions))]),
  );
  const value = signed(tbs, signer, signature);
  if (plan.tampered === true) value[value.length - 1] = (value[value.length - 1] ?? 0) ^ 1;
  const der = seq(tbs, algorithms[plan.outer ?? signature], bits(value));
  return { name: subject, keys, der };
}

const authorityExtensions = [basicConstraints(true), keyUsage("keyCertSign", "cRLSign")];

/** A good self-signed authority, but for what the plan says. */
export const root = (plan: Plan = {}): Holder =>
  certify(null, { subject: name(["CN", "Test Root"]), extensions: authorityExtensions, ...plan });

/** A good intermediate authority, but for what the plan says. */
export const intermediate = (issuer: Holder, plan: Plan = {}): Holder =>
  certify(issuer, { subject: name(["CN", "Test Intermediate"]), extensions: authorityExtensions, ...plan });

export const leafExtensions: readonly Bytes[] = [
  basicConstraints(false),
  keyUsage("digitalSignature"),
  extendedKeyUsage("clientAuth"),
];

/** A good client certificate, but for what the plan says. */
export const leaf = (issuer: Holder, plan: Plan = {}): Holder =>
  certify(issuer, {
    subject: name(["O", "Example"], ["OU", "payments"], ["CN", "alice"]),
    extensions: leafExtensions,
    ...plan,
  });

export const pem = (...ders: readonly Bytes[]): string =>
  ders
    .map((der) => {
      const lines =
        Buffer.from(der)
          .toString("base64")
          .match(/.{1,64}/g) ?? [];
      return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
    })
    .join("");
