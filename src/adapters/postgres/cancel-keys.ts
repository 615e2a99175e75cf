import { LruMap } from "../../core/lru-map.ts";
import type { CertificateIdentity } from "../../identity/identity.ts";
import { sourceKey } from "../../limits/source-key.ts";
import type { CancelKey } from "./wire.ts";

/** Who holds a session, or asks to cancel what runs in one. */
export interface Holder {
  readonly source: string;
  /** Its name; `null` for a request in the clear, which comes to no route. */
  readonly route: string | null;
  readonly identity: Pick<
    CertificateIdentity,
    "keyFingerprint" | "subject" | "dnsNames" | "emails" | "uris"
  > | null;
}

/** Where the router is several processes: which keys are whose. */
export interface CancelKeyShares {
  /** This process's number, from 0 on, and how many there are: it gives out the keys whose number says so. */
  readonly own: number;
  readonly of: number;
  /** Asks the process that gave out a key; `false` too where it is not there. */
  cancel(at: number, key: CancelKey, asking: Holder): Promise<boolean>;
}

interface Entry {
  readonly secret: Uint8Array;
  readonly holder: Holder;
  /** Asks the upstream, with the key that it gave. */
  readonly cancel: () => Promise<void>;
  underWay: Promise<void> | undefined;
}

/** Wrong keys that one source may show before it is not listened to for the rest of the time. */
const guesses = 10;
const perMs = 60_000;

/** Bytes of a secret where the upstream speaks protocol 3.2, which lets them be more than four. */
const longSecret = 32;

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let differ = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) differ |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return differ === 0;
}

type Known = NonNullable<Holder["identity"]>;

const namesOf = ({ subject, dnsNames, emails, uris }: Known): string =>
  JSON.stringify([subject, dnsNames, emails, uris]);

/** The same key, or the same names under the same authorities: certificates are renewed while sessions last. */
const sameIdentity = (a: Known, b: Known): boolean =>
  a.keyFingerprint === b.keyFingerprint || (namesOf(a) === namesOf(b) && namesOf(a) !== '["",[],[],[]]');

/** Whether one may cancel what the other runs. Without an identity to go by, where both come from says it. */
function mayCancel(asking: Holder, running: Holder): boolean {
  if (asking.route === null) return asking.source === running.source;
  if (asking.route !== running.route) return false;
  if (asking.identity === null || running.identity === null)
    return asking.identity === running.identity && asking.source === running.source;
  return sameIdentity(asking.identity, running.identity);
}

/**
 * The keys that clients have in place of those that upstreams gave: nobody can guess them, and nobody else can use
 * one. As many as there are sessions.
 */
export class CancelKeys {
  readonly #shares: CancelKeyShares | null;
  readonly #entries = new Map<number, Entry>();
  readonly #elsewhere: ((key: CancelKey, asking: Holder) => Promise<boolean>) | null;
  readonly #failed = new LruMap<string, { count: number; readonly since: number }>(10_000);

  /**
   * @param shares `null` where this process is the whole router
   * @param elsewhere asks routers of other machines; `null` where there are none
   */
  constructor(
    shares: CancelKeyShares | null,
    elsewhere: ((key: CancelKey, asking: Holder) => Promise<boolean>) | null = null,
  ) {
    this.#shares = shares;
    this.#elsewhere = elsewhere;
  }

  /** A new key for a session. `release` when it ends. */
  issue(
    real: CancelKey,
    holder: Holder,
    cancel: () => Promise<void>,
  ): { readonly key: CancelKey; release(): void } {
    const number = new Uint32Array(1);
    let pid = 0;
    // Process ids are positive, and clients keep them in 32 bits with a sign.
    while (pid === 0 || this.#entries.has(pid) || !this.#isOurs(pid)) {
      crypto.getRandomValues(number);
      pid = (number[0] ?? 0) >>> 1;
    }
    const secret = crypto.getRandomValues(new Uint8Array(real.secret.length > 4 ? longSecret : 4));
    this.#entries.set(pid, { secret, holder, cancel, underWay: undefined });
    return { key: { pid, secret }, release: () => void this.#entries.delete(pid) };
  }

  /**
   * Cancels what runs in the session with that key. `false`: there is none that this client may cancel, or too many
   * of its keys were wrong; nobody learns which.
   */
  async cancel(key: CancelKey, asking: Holder, now: number): Promise<boolean> {
    const source = asking.identity?.keyFingerprint ?? sourceKey(asking.source);
    const failed = this.#failed.get(source);
    const recent = failed !== undefined && now - failed.since < perMs ? failed : { count: 0, since: now };
    if (recent.count >= guesses) return false;
    const done =
      this.#shares === null || this.#isOurs(key.pid)
        ? await this.cancelOwn(key, asking)
        : await this.#shares.cancel(key.pid % this.#shares.of, key, asking);
    if (done || (await this.#elsewhere?.(key, asking)) === true) return true;
    recent.count++;
    this.#failed.set(source, recent);
    return false;
  }

  /** The same for a key of this process, whoever was asked first, and counted there. */
  async cancelOwn({ pid, secret }: CancelKey, asking: Holder): Promise<boolean> {
    const entry = this.#entries.get(pid);
    if (entry === undefined || !sameBytes(entry.secret, secret) || !mayCancel(asking, entry.holder))
      return false;
    // One at a time is as good as many.
    entry.underWay ??= entry.cancel().finally(() => {
      entry.underWay = undefined;
    });
    await entry.underWay;
    return true;
  }

  #isOurs(pid: number): boolean {
    return this.#shares === null || pid % this.#shares.of === this.#shares.own;
  }
}
