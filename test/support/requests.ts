import { toPem } from "../../src/authority/pem.ts";
import {
  BasicConstraintsExtension,
  type Extension,
  type JsonGeneralNames,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from "../../src/authority/x509.ts";
import { algorithms } from "./pki.ts";

export interface RequestRecipe {
  readonly subject?: string;
  readonly names?: JsonGeneralNames;
  readonly algorithm?: EcKeyGenParams | RsaHashedKeyGenParams | Algorithm;
  readonly keys?: CryptoKeyPair;
  /** Signs in place of the private half of the key. */
  readonly signer?: CryptoKeyPair;
  readonly authority?: boolean;
}

export const newKeys = async (
  algorithm: NonNullable<RequestRecipe["algorithm"]> = algorithms.ecdsa,
): Promise<CryptoKeyPair> =>
  (await crypto.subtle.generateKey(algorithm as EcKeyGenParams, true, ["sign", "verify"])) as CryptoKeyPair;

/** A certification request of any kind, good or bad. */
export async function certificationRequest(recipe: RequestRecipe = {}): Promise<string> {
  const algorithm = recipe.algorithm ?? algorithms.ecdsa;
  const keys = recipe.keys ?? (await newKeys(algorithm));
  const extensions: Extension[] = [];
  if (recipe.names !== undefined) extensions.push(new SubjectAlternativeNameExtension(recipe.names));
  if (recipe.authority === true) extensions.push(new BasicConstraintsExtension(true));
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys: { publicKey: keys.publicKey, privateKey: (recipe.signer ?? keys).privateKey },
    signingAlgorithm: algorithm,
    ...(recipe.subject === undefined ? {} : { name: recipe.subject }),
    extensions,
  });
  return toPem("CERTIFICATE REQUEST", new Uint8Array(request.rawData));
}
