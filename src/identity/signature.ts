import { oidText, only, sequence, smallInteger, type Tlv, tag } from "../wire/der.ts";
import type { Certificate } from "./certificate.ts";
import { sameBytes } from "./same-bytes.ts";

/** A signature algorithm that may stand in a chain, as WebCrypto takes it. */
interface Verification {
  readonly importAs: RsaHashedImportParams | EcKeyImportParams | Algorithm;
  readonly verifyAs: AlgorithmIdentifier | RsaPssParams | EcdsaParams;
  readonly ecdsa?: number;
}

const hashes: Readonly<Record<string, string>> = {
  "2.16.840.1.101.3.4.2.1": "SHA-256",
  "2.16.840.1.101.3.4.2.2": "SHA-384",
  "2.16.840.1.101.3.4.2.3": "SHA-512",
};
const rsaPkcs1: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.11": "SHA-256",
  "1.2.840.113549.1.1.12": "SHA-384",
  "1.2.840.113549.1.1.13": "SHA-512",
};
const ecdsa: Readonly<Record<string, string>> = {
  "1.2.840.10045.4.3.2": "SHA-256",
  "1.2.840.10045.4.3.3": "SHA-384",
  "1.2.840.10045.4.3.4": "SHA-512",
};
const curves: Readonly<Record<string, { readonly name: string; readonly bytes: number }>> = {
  "1.2.840.10045.3.1.7": { name: "P-256", bytes: 32 },
  "1.3.132.0.34": { name: "P-384", bytes: 48 },
  "1.3.132.0.35": { name: "P-521", bytes: 66 },
};
const sha1 = ["1.2.840.113549.1.1.5", "1.3.14.3.2.29", "1.2.840.10045.4.1"];
const rsaKey = "1.2.840.113549.1.1.1";
const ecKey = "1.2.840.10045.2.1";
const rsaPss = "1.2.840.113549.1.1.10";
const mgf1 = "1.2.840.113549.1.1.8";
const ed25519 = "1.3.101.112";
const minRsaBits = 2048;
/** The price of a check grows with the key, and a peer chooses the keys of the intermediates it sends. */
const maxRsaBits = 8192;

interface AlgorithmId {
  readonly oid: string;
  readonly parameters: Uint8Array | undefined;
}

function algorithmId(raw: Uint8Array | undefined): AlgorithmId | undefined {
  const [id, parameters, ...rest] = sequence(raw) ?? [];
  const oid = id?.tag === tag.oid ? oidText(id.value) : undefined;
  return oid === undefined || rest.length > 0 ? undefined : { oid, parameters: parameters?.raw };
}

interface PublicKey extends AlgorithmId {
  readonly bits: Uint8Array;
}

function publicKey(spki: Uint8Array): PublicKey | undefined {
  const [algorithm, key, ...rest] = sequence(spki) ?? [];
  const id = algorithmId(algorithm?.raw);
  if (id === undefined || key?.tag !== tag.bitString || key.value[0] !== 0 || rest.length > 0)
    return undefined;
  return { ...id, bits: key.value.subarray(1) };
}

/** The length of an INTEGER, which is a modulus; `undefined` where it is none. */
function modulusBits(modulus: Tlv | undefined): number | undefined {
  const [first = 0x80, second = 0] = modulus?.value ?? [];
  if (modulus?.tag !== tag.integer || first & 0x80) return undefined;
  const lead = first === 0 ? second : first;
  return (modulus.value.length - (first === 0 ? 1 : 0)) * 8 - (Math.clz32(lead) - 24);
}

/** Bits of an RSA key's modulus; `null` where the key is another kind's. */
export function rsaModulusBits(spki: Uint8Array): number | null {
  const key = publicKey(spki);
  if (key?.oid !== rsaKey && key?.oid !== rsaPss) return null;
  return modulusBits(sequence(key.bits)?.[0]) ?? null;
}

/** What is wrong with an RSAPublicKey (RFC 8017 §A.1.1), or `undefined`. */
function unusableRsa(key: PublicKey): string | undefined {
  const [modulus, exponent, ...rest] = sequence(key.bits) ?? [];
  const e = smallInteger(exponent);
  const bits = modulusBits(modulus);
  if (bits === undefined || e === undefined || rest.length > 0)
    return "its RSA key is malformed (RFC 8017 §A.1.1)";
  if (bits < minRsaBits) return `its RSA key has ${bits} bits, fewer than ${minRsaBits} (RFC 9325 §4.5)`;
  if (bits > maxRsaBits) return `its RSA key has ${bits} bits, more than ${maxRsaBits}`;
  return e < 3 || e % 2 === 0 ? `its RSA key has the exponent ${e} (RFC 8017 §3.1)` : undefined;
}

const curveOf = (key: PublicKey): { readonly name: string; readonly bytes: number } | undefined => {
  const named = only(key.parameters, tag.oid);
  const text = named === undefined ? undefined : oidText(named.value);
  return text === undefined ? undefined : curves[text];
};

/** An uncompressed point, which everybody reads (RFC 5480 §2.2); whether it is on the curve, importing it shows. */
function unusablePoint(key: PublicKey): string | undefined {
  const curve = curveOf(key);
  if (curve === undefined) return "its key is on a curve that is not accepted (RFC 5480 §2.1.1)";
  const uncompressed = key.bits[0] === 4 && key.bits.length === 1 + 2 * curve.bytes;
  return uncompressed ? undefined : "its key is no uncompressed point (RFC 5480 §2.2)";
}

/** What is wrong with a certificate's own key, or `undefined`: RSA of 2048 to 8192 bits, P-256/384/521 and Ed25519 may be used. */
export function unusableKey(spki: Uint8Array): string | undefined {
  const key = publicKey(spki);
  if (key === undefined) return "its public key is malformed (RFC 5280 §4.1.2.7)";
  if (key.oid === rsaKey || key.oid === rsaPss) return unusableRsa(key);
  if (key.oid === ecKey) return unusablePoint(key);
  return key.oid === ed25519
    ? undefined
    : `its key is of a kind that is not accepted, ${key.oid} (RFC 5280 §4.1.2.7)`;
}

interface PssParameters {
  readonly hash: string;
  readonly saltLength: number;
}

/** RSASSA-PSS-params (RFC 4055 §3.1): the same hash throughout, and no SHA-1, which the defaults would be. */
function pssParameters(raw: Uint8Array | undefined): PssParameters | undefined {
  const fields = new Map((sequence(raw) ?? []).map((element) => [element.tag, element.value]));
  const hash = hashes[algorithmId(fields.get(0xa0))?.oid ?? ""];
  const mask = algorithmId(fields.get(0xa1));
  const maskHash = hashes[algorithmId(mask?.parameters)?.oid ?? ""];
  const saltLength = smallInteger(only(fields.get(0xa2), tag.integer));
  if (
    hash === undefined ||
    mask?.oid !== mgf1 ||
    maskHash !== hash ||
    saltLength === undefined ||
    fields.has(0xa3)
  )
    return undefined;
  return { hash, saltLength };
}

/** A key for PSS alone may name its hash, and how long the salt is at least (RFC 4055 §3.3). */
function pssKeyAllows(key: PublicKey, used: PssParameters): boolean {
  if (key.oid !== rsaPss || key.parameters === undefined) return true;
  const limits = pssParameters(key.parameters);
  return limits !== undefined && limits.hash === used.hash && limits.saltLength <= used.saltLength;
}

const isNull = (parameters: Uint8Array | undefined): boolean =>
  parameters !== undefined && only(parameters, tag.null)?.value.length === 0;

/** How a signature with this algorithm is verified by this key; `undefined` when the two don't fit or aren't accepted. */
function verification(algorithm: AlgorithmId, key: PublicKey): Verification | undefined {
  const { oid, parameters } = algorithm;
  const rsaHash = rsaPkcs1[oid];
  // RFC 4055 §5: the parameters are NULL.
  if (rsaHash !== undefined && key.oid === rsaKey && isNull(parameters)) {
    return { importAs: { name: "RSASSA-PKCS1-v1_5", hash: rsaHash }, verifyAs: "RSASSA-PKCS1-v1_5" };
  }
  const ecdsaHash = ecdsa[oid];
  // RFC 5758 §3.2: there are none.
  if (ecdsaHash !== undefined && key.oid === ecKey && parameters === undefined) {
    const curve = curveOf(key);
    if (curve === undefined) return undefined;
    return {
      importAs: { name: "ECDSA", namedCurve: curve.name },
      verifyAs: { name: "ECDSA", hash: ecdsaHash },
      ecdsa: curve.bytes,
    };
  }
  if (oid === rsaPss && (key.oid === rsaKey || key.oid === rsaPss)) {
    const pss = pssParameters(parameters);
    if (pss === undefined || !pssKeyAllows(key, pss)) return undefined;
    return {
      importAs: { name: "RSA-PSS", hash: pss.hash },
      verifyAs: { name: "RSA-PSS", saltLength: pss.saltLength },
    };
  }
  // RFC 8410 §3: there are none.
  if (oid === ed25519 && key.oid === ed25519 && parameters === undefined)
    return { importAs: { name: "Ed25519" }, verifyAs: "Ed25519" };
  return undefined;
}

/** WebCrypto wants r and s of a fixed size where DER has two INTEGERs (RFC 3279 §2.2.3). */
function ecdsaSignature(der: Uint8Array, size: number): Uint8Array | undefined {
  const parts = sequence(der);
  if (parts?.length !== 2) return undefined;
  const raw = new Uint8Array(2 * size);
  for (const [i, part] of parts.entries()) {
    const [first = 0x80, second = 0x80] = part.value;
    const digits = first === 0 ? part.value.subarray(1) : part.value;
    const positive = part.tag === tag.integer && first < 0x80 && (first > 0 || second >= 0x80);
    if (!positive || digits.length > size) return undefined;
    raw.set(digits, (i + 1) * size - digits.length);
  }
  return raw;
}

/** Whether an AlgorithmIdentifier is RSA or ECDSA with SHA-1, whose collisions can be bought. */
export const isBySha1 = (algorithm: Uint8Array): boolean => sha1.includes(algorithmId(algorithm)?.oid ?? "");

/** What an issuer signs: a certificate, or a list of those it has revoked. */
export type Signed = Pick<Certificate, "algorithm" | "innerAlgorithm" | "signature" | "tbs">;

/** A check of one signature, which costs what the issuer's key makes it cost: the words for what is wrong, if anything. */
export type SignatureCheck = () => Promise<string | undefined>;

/** How to find out whether the holder of `issuer`'s key signed this; words where that need not be tried. */
export function signatureCheck(signed: Signed, issuer: Certificate): SignatureCheck | string {
  if (!sameBytes(signed.algorithm, signed.innerAlgorithm)) {
    return "its two signature algorithms differ (RFC 5280 §4.1.1.2)";
  }
  const algorithm = algorithmId(signed.algorithm);
  const key = publicKey(issuer.spki);
  if (algorithm === undefined || key === undefined)
    return "its signature algorithm is malformed (RFC 5280 §4.1.1.2)";
  // Before the check, which such a key could make costly.
  const unusable = unusableKey(issuer.spki);
  if (unusable !== undefined) return `its issuer's key can't be used: ${unusable}`;
  const how = verification(algorithm, key);
  if (how === undefined)
    return `its signature algorithm (${algorithm.oid}) is not accepted, or is not its issuer's (RFC 5280 §4.1.1.2)`;
  const signature = how.ecdsa === undefined ? signed.signature : ecdsaSignature(signed.signature, how.ecdsa);
  if (signature === undefined) return "its signature is malformed (RFC 5280 §4.1.1.3)";
  return async () => {
    try {
      const good = await crypto.subtle.verify(
        how.verifyAs,
        await importKey(issuer, key, how.importAs),
        signature as BufferSource,
        signed.tbs as BufferSource,
      );
      return good ? undefined : "its signature is not its issuer's (RFC 5280 §6.1.3 (a)(1))";
    } catch (error) {
      return `its issuer's key can't be used (RFC 5280 §4.1.2.7): ${error instanceof Error ? error.message : String(error)}`;
    }
  };
}

const derLength = (length: number): number[] =>
  length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];

/** The SubjectPublicKeyInfo of an RSAPublicKey with the algorithm rsaEncryption. */
function rsaSpki(key: Uint8Array): Uint8Array {
  const algorithm = [0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, tag.null, 0];
  const bits = [tag.bitString, ...derLength(key.length + 1), 0, ...key];
  return Uint8Array.from([tag.sequence, ...derLength(algorithm.length + bits.length), ...algorithm, ...bits]);
}

const importedKeys = new WeakMap<Certificate, Map<string, Promise<CryptoKey>>>();

/** Imported once a certificate and algorithm: authorities sign many. */
function importKey(
  issuer: Certificate,
  key: PublicKey,
  importAs: Verification["importAs"],
): Promise<CryptoKey> {
  let keys = importedKeys.get(issuer);
  if (keys === undefined) {
    keys = new Map();
    importedKeys.set(issuer, keys);
  }
  const id = JSON.stringify(importAs);
  let imported = keys.get(id);
  if (imported === undefined) {
    const [format, bytes] = importable(issuer, key);
    imported = crypto.subtle.importKey(format, bytes as BufferSource, importAs, false, ["verify"]);
    keys.set(id, imported);
  }
  return imported;
}

/** A key in a form that WebCrypto takes; of those the one that costs least. */
function importable(issuer: Certificate, key: PublicKey): readonly ["raw" | "spki", Uint8Array] {
  if (key.oid === ecKey) return ["raw", key.bits];
  // RSA keys are read under their general name alone.
  return ["spki", key.oid === rsaPss ? rsaSpki(key.bits) : issuer.spki];
}
