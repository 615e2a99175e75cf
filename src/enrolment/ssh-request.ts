import { newSshKey, openSshKey } from "../authority/ssh-key.ts";
import { p256Line } from "../wire/ssh-certificate.ts";
import { parseSshPublicKey, type SshPublicKey } from "../wire/ssh-public-key.ts";
import { keyHash } from "./key-hash.ts";
import { EnrolmentRefusal } from "./refusal.ts";

/** A request to have an SSH key certified along with a TLS key, as it is sent. */
export interface SshRequest {
  /** The line of a `.pub` file; P-256. */
  readonly public_key: string;
  /** By that key, over the hash of the TLS key: Base64 of r and s. */
  readonly proof: string;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const pointLength = 65;

/** Nothing that SSH signs begins so; and with the TLS key in it, it is good in no other request. */
const toSign = async (tlsKey: Uint8Array): Promise<BufferSource> =>
  new TextEncoder().encode(`sallyport-ssh-certificate-v1 ${await keyHash(tlsKey)}`);

/**
 * The request for an SSH key, and the key, PEM.
 *
 * @param former the key to keep, if there is one that can be read
 * @param tlsKey SubjectPublicKeyInfo, DER, of the key that is certified by the same request
 */
export async function newSshRequest(
  former: string | null,
  tlsKey: Uint8Array,
): Promise<{ readonly key: string; readonly request: SshRequest }> {
  const kept = former === null ? null : await openSshKey(former).catch(() => null);
  const key = former !== null && kept !== null ? former : await newSshKey();
  const opened = kept ?? (await openSshKey(key));
  const signature = await crypto.subtle.sign(algorithm, opened.key, await toSign(tlsKey));
  const proof = btoa(String.fromCharCode(...new Uint8Array(signature)));
  return { key, request: { public_key: p256Line(opened.blob, "sallyport"), proof } };
}

/** Reads it, proof of possession and all. Throws an `EnrolmentRefusal`. */
export async function readSshRequest(
  { public_key: line, proof }: SshRequest,
  tlsKey: Uint8Array,
): Promise<SshPublicKey> {
  const publicKey = parseSshPublicKey(line);
  if ("problem" in publicKey)
    throw new EnrolmentRefusal("request_invalid", `ssh.public_key: ${publicKey.problem}`);
  if (publicKey.type !== "ecdsa-sha2-nistp256")
    throw new EnrolmentRefusal("key_unfit", "ssh.public_key: expected ecdsa-sha2-nistp256");
  const { fields } = publicKey;
  let proven = false;
  try {
    const point = fields.subarray(fields.length - pointLength) as BufferSource;
    const key = await crypto.subtle.importKey("raw", point, algorithm, false, ["verify"]);
    const signature = Uint8Array.from(atob(proof), (c) => c.charCodeAt(0));
    proven = await crypto.subtle.verify(algorithm, key, signature, await toSign(tlsKey));
  } catch {
    // A point that is on no curve, or no Base64: not proven.
  }
  if (!proven)
    throw new EnrolmentRefusal(
      "request_invalid",
      "ssh.proof: is not by its key, for the key of this request (proof of possession)",
    );
  return publicKey;
}
