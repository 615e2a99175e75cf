import { Authority, createAuthority, type Issued } from "../../src/authority/authority.ts";
import { certificatesFromPem, toPem } from "../../src/authority/pem.ts";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Extension as RawExtension,
  X509CertificateGenerator,
} from "../../src/authority/x509.ts";

export const dayMs = 86_400_000;

/** A certificate with its keys, which may issue others. */
export interface Entity extends Issued {
  readonly subject: string;
  readonly keys: CryptoKeyPair;
}

export interface Recipe {
  readonly subject?: string;
  readonly issuer?: Entity;
  readonly notBefore?: number;
  readonly notAfter?: number;
  /** Instead of a new key. */
  readonly keys?: CryptoKeyPair;
  readonly algorithm?: EcKeyGenParams | RsaHashedKeyGenParams;
  /** `null` leaves the extension out. */
  readonly basicConstraints?: { ca: boolean; pathLength?: number } | null;
  readonly keyUsage?: KeyUsageFlags | null;
  readonly purposes?: readonly string[] | null;
  readonly more?: readonly Extension[];
}

const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const rsa = (bits: number, hash: string): RsaHashedKeyGenParams => ({
  name: "RSASSA-PKCS1-v1_5",
  modulusLength: bits,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash,
});
export const algorithms = {
  ecdsa,
  rsa2048: rsa(2048, "SHA-256"),
  rsa1024: rsa(1024, "SHA-256"),
  sha1: rsa(2048, "SHA-1"),
} as const;

/** A certificate of any kind, good or bad. Without an issuer it signs itself. */
export async function make(recipe: Recipe): Promise<Entity> {
  const algorithm = recipe.algorithm ?? ecdsa;
  const keys =
    recipe.keys ?? ((await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair);
  const subject = recipe.subject ?? "CN=alice";
  const {
    basicConstraints = { ca: false },
    keyUsage = KeyUsageFlags.digitalSignature,
    purposes = [ExtendedKeyUsage.clientAuth],
  } = recipe;
  const extensions: Extension[] = [...(recipe.more ?? [])];
  if (basicConstraints !== null)
    extensions.push(new BasicConstraintsExtension(basicConstraints.ca, basicConstraints.pathLength, true));
  if (keyUsage !== null) extensions.push(new KeyUsagesExtension(keyUsage, true));
  if (purposes !== null) extensions.push(new ExtendedKeyUsageExtension([...purposes]));
  const certificate = await X509CertificateGenerator.create({
    serialNumber: "4242",
    subject,
    issuer: recipe.issuer?.subject ?? subject,
    notBefore: new Date(recipe.notBefore ?? Date.now() - dayMs),
    notAfter: new Date(recipe.notAfter ?? Date.now() + dayMs),
    publicKey: keys.publicKey,
    signingKey: recipe.issuer?.keys.privateKey ?? keys.privateKey,
    signingAlgorithm:
      recipe.issuer?.keys.privateKey.algorithm.name === "ECDSA" ||
      (recipe.issuer === undefined && algorithm === ecdsa)
        ? ecdsa
        : algorithm,
    extensions,
  });
  const key = toPem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey)));
  return { cert: `${certificate.toString("pem")}\n`, key, subject, keys };
}

export const der = (entity: Issued): Uint8Array => certificatesFromPem(entity.cert)[0] ?? new Uint8Array(0);

const issuing = KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign;

export const root = (more: Recipe = {}): Promise<Entity> =>
  make({ subject: "CN=Root", basicConstraints: { ca: true }, keyUsage: issuing, purposes: null, ...more });

export const intermediate = (issuer: Entity, more: Recipe = {}): Promise<Entity> =>
  make({
    subject: "CN=Intermediate",
    issuer,
    basicConstraints: { ca: true, pathLength: 0 },
    keyUsage: issuing,
    purposes: null,
    ...more,
  });

export const unknownCriticalExtension = (): Extension =>
  new RawExtension("1.3.6.1.4.1.99999.1", true, Uint8Array.of(5, 0).buffer);

export { Authority, createAuthority, ExtendedKeyUsage, KeyUsageFlags };
