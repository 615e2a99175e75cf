import type { JWK } from "jose";
import { calculateJwkThumbprint } from "jose/jwk/thumbprint";
import { exportJWK } from "jose/key/export";
import { generateKeyPair } from "jose/key/generate/keypair";
import { importJWK, importPKCS8 } from "jose/key/import";

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
  /**
   * 256 secret bits for another purpose, derived from each of the keys: the first is to be used, what was made with one
   * of the others still holds.
   *
   * @param now Unix milliseconds
   */
  secrets(purpose: string, now: number): Promise<readonly Uint8Array[]>;
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

const derived = new WeakMap<SigningKey, Map<string, Promise<Uint8Array>>>();

/**
 * HKDF (RFC 5869) over the private number, which is the same however a key is written down: routers with one key have
 * the same secrets.
 */
async function derive({ key }: SigningKey, purpose: string): Promise<Uint8Array> {
  const { d = "" } = await exportJWK(key);
  const text = new TextEncoder();
  const material = await crypto.subtle.importKey("raw", text.encode(d), "HKDF", false, ["deriveBits"]);
  const how = {
    name: "HKDF",
    hash: "SHA-256",
    salt: new Uint8Array(32),
    info: text.encode(`sallyport ${purpose}`),
  };
  return new Uint8Array(await crypto.subtle.deriveBits(how, material, 256));
}

function secretOf(key: SigningKey, purpose: string): Promise<Uint8Array> {
  const known = derived.get(key) ?? new Map<string, Promise<Uint8Array>>();
  derived.set(key, known);
  const secret = known.get(purpose) ?? derive(key, purpose);
  known.set(purpose, secret);
  return secret;
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
  const all = [first, ...others];
  const published = { keys: all.map(({ jwk }) => jwk) };
  return {
    signing: async () => first,
    published: async () => published,
    secrets: (purpose) => Promise.all(all.map((key) => secretOf(key, purpose))),
  };
}

async function newKey(): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  return { key: privateKey, alg: "ES256", jwk: await publicHalf(publicKey, "ES256") };
}

interface Generated {
  readonly current: SigningKey;
  readonly next: SigningKey;
  readonly last: SigningKey | null;
  /** When the current one began to sign. */
  readonly since: number;
}

function publishedOf({ current, next, last, since }: Generated, now: number): KeySet {
  const old = last !== null && now - since < retiredMs ? [last] : [];
  return { keys: [current, next, ...old].map(({ jwk }) => jwk) };
}

/** With the next one: another process of this router may have begun to use it. */
const secretsOf = ({ current, next, last }: Generated, purpose: string): Promise<readonly Uint8Array[]> =>
  Promise.all([current, next, ...(last === null ? [] : [last])].map((key) => secretOf(key, purpose)));

/** Keys of a day each. The next one is published before it signs, the last one until nothing it signed is good. */
export class GeneratedKeys implements AssertionKeys {
  readonly #make: () => Promise<SigningKey>;
  #state: Promise<Generated>;

  /** @param now Unix milliseconds */
  constructor(now: number, make: () => Promise<SigningKey> = newKey) {
    this.#make = make;
    this.#state = this.#first(now);
    // Whoever asks is told, and only then.
    this.#state.catch(() => {});
  }

  async #first(now: number): Promise<Generated> {
    const [current, next] = await Promise.all([this.#make(), this.#make()]);
    return { current, next, last: null, since: now };
  }

  async signing(now: number): Promise<SigningKey> {
    return (await this.#at(now)).current;
  }

  async published(now: number): Promise<KeySet> {
    return publishedOf(await this.#at(now), now);
  }

  /** For the other processes of this router, private halves among it. */
  async exported(now: number): Promise<ExportedKeys> {
    const { current, next, last, since } = await this.#at(now);
    return {
      current: await exportedKey(current),
      next: await exportedKey(next),
      last: last === null ? null : await exportedKey(last),
      since,
    };
  }

  async secrets(purpose: string, now: number): Promise<readonly Uint8Array[]> {
    return secretsOf(await this.#at(now), purpose);
  }

  /** One after the other, so that a key is replaced once. What failed is tried again by whoever asks next. */
  #at(now: number): Promise<Generated> {
    this.#state = this.#state.catch(() => this.#first(now)).then((state) => this.#upToDate(state, now));
    this.#state.catch(() => {});
    return this.#state;
  }

  async #upToDate(state: Generated, now: number): Promise<Generated> {
    if (now - state.since < keyMs) return state;
    try {
      return { current: state.next, next: await this.#make(), last: state.current, since: now };
    } catch {
      // The keys that there are sign on: that one is a little older harms nobody as much as having none.
      return state;
    }
  }
}

/** A signing key as JSON has it. */
interface ExportedKey {
  readonly alg: string;
  readonly jwk: Readonly<Record<string, unknown>>;
}

/** Generated keys on their way to another process. */
export interface ExportedKeys {
  readonly current: ExportedKey;
  readonly next: ExportedKey;
  readonly last: ExportedKey | null;
  readonly since: number;
}

const exportedKey = async ({ key, alg }: SigningKey): Promise<ExportedKey> => ({
  alg,
  jwk: { ...(await exportJWK(key)) },
});

async function importedKey({ alg, jwk }: ExportedKey): Promise<SigningKey> {
  const key = await importJWK(jwk as JWK, alg, { extractable: true });
  if (key instanceof Uint8Array) throw new TypeError("a signing key is a pair");
  return { key, alg, jwk: await publicHalf(key, alg) };
}

/** Keys that another process of this router generates, and replaces. */
export class SharedKeys implements AssertionKeys {
  #state: Promise<Generated>;

  constructor(keys: ExportedKeys) {
    this.#state = SharedKeys.#read(keys);
  }

  replace(keys: ExportedKeys): void {
    this.#state = SharedKeys.#read(keys);
  }

  async signing(): Promise<SigningKey> {
    return (await this.#state).current;
  }

  async published(now: number): Promise<KeySet> {
    return publishedOf(await this.#state, now);
  }

  async secrets(purpose: string): Promise<readonly Uint8Array[]> {
    return secretsOf(await this.#state, purpose);
  }

  static async #read({ current, next, last, since }: ExportedKeys): Promise<Generated> {
    return {
      current: await importedKey(current),
      next: await importedKey(next),
      last: last === null ? null : await importedKey(last),
      since,
    };
  }
}
