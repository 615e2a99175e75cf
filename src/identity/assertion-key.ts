import { calculateJwkThumbprint, exportJWK, generateKeyPair, importPKCS8, type JWK } from "jose";

/** The keys that sign identity assertions, as those who check them see it: public halves alone (RFC 7517 §5). */
export interface KeySet {
  readonly keys: readonly JWK[];
}

/** What an assertion is signed with. */
export interface SigningKey {
  readonly key: CryptoKey;
  readonly alg: string;
  /** The public half; its `kid` is the thumbprint (RFC 7638). */
  readonly jwk: JWK;
}

export interface AssertionKeys {
  /** The key to sign with now, in Unix milliseconds. */
  signing(now: number): Promise<SigningKey>;
  /** All by which something may be signed that is good now, or will be soon. */
  published(now: number): Promise<KeySet>;
}

/** How long an assertion is good, at most. */
export const assertionMs = 60_000;

/** How long a generated key signs. */
const keyMs = 86_400_000;

/** How long one is published after that: its last assertions may be handed out again for some seconds. */
const retiredMs = 2 * assertionMs;

const algorithms = ["ES256", "EdDSA", "RS256"] as const;

async function publicHalf(key: CryptoKey, alg: string): Promise<JWK> {
  const { kty, crv, x, y, n, e } = await exportJWK(key);
  // Named one by one: whatever else an export holds, the private half among it, stays here.
  const members = Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined);
  const jwk = Object.fromEntries(members) as JWK;
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), use: "sig", alg };
}

async function readKey(pem: string): Promise<SigningKey> {
  for (const alg of algorithms) {
    try {
      const key = await importPKCS8(pem, alg, { extractable: true });
      const jwk = await publicHalf(key, alg);
      if (alg !== "RS256" || (jwk.n?.length ?? 0) >= (2048 / 8 / 3) * 4) return { key, alg, jwk };
    } catch {
      // Another kind, or none of them.
    }
  }
  throw new Error(
    "can't be used: expected a private key in PEM (PKCS #8), or several: P-256, Ed25519, or RSA of 2048 bits at least",
  );
}

/** One text a PEM block, whatever kind it is of; what has none is one. */
const blocksOf = (pem: string): readonly string[] =>
  pem.split(/(?=-----BEGIN )/).filter((text, i) => i === 0 || text !== "");

/**
 * Keys in PEM (PKCS #8; P-256, Ed25519 or RSA of 2048 bits and more): the first signs, all are published.
 * Throws with words for the user; the text of a key is in none of them.
 */
export async function givenKeys(pem: string): Promise<AssertionKeys> {
  const [first, ...others] = await Promise.all(blocksOf(pem.trimStart()).map(readKey));
  if (first === undefined) throw new TypeError("a text has one block at least");
  const published = { keys: [first, ...others].map(({ jwk }) => jwk) };
  return { signing: async () => first, published: async () => published };
}

async function newKey(): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  return { key: privateKey, alg: "ES256", jwk: await publicHalf(publicKey, "ES256") };
}

interface Generated {
  readonly current: SigningKey;
  readonly next: SigningKey;
  readonly last: SigningKey | null;
  /** When the current one began to sign. */
  readonly since: number;
}

/** Keys of a day each. The next one is published before it signs, the last one until nothing it signed is good. */
export class GeneratedKeys implements AssertionKeys {
  #state: Promise<Generated>;

  /** @param now Unix milliseconds */
  constructor(now: number) {
    this.#state = Promise.all([newKey(), newKey()]).then(([current, next]) => ({
      current,
      next,
      last: null,
      since: now,
    }));
  }

  async signing(now: number): Promise<SigningKey> {
    return (await this.#at(now)).current;
  }

  async published(now: number): Promise<KeySet> {
    const { current, next, last, since } = await this.#at(now);
    const old = last !== null && now - since < retiredMs ? [last] : [];
    return { keys: [current, next, ...old].map(({ jwk }) => jwk) };
  }

  /** One after the other, so that a key is replaced once. */
  #at(now: number): Promise<Generated> {
    this.#state = this.#state.then(async (state) =>
      now - state.since < keyMs
        ? state
        : { current: state.next, next: await newKey(), last: state.current, since: now },
    );
    return this.#state;
  }
}
