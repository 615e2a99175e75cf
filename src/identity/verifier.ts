import { LruMap } from "../core/lru-map.ts";
import { Refusal } from "../errors.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { validatePath } from "./chain.ts";
import type { GroupSource } from "./groups.ts";
import { type CertificateIdentity, identityOf } from "./identity.ts";
import type { Profile } from "./profile.ts";
import type { PathFailure } from "./question.ts";
import type { Revocation } from "./revocation/revocation.ts";
import { bytesKey, sameBytes } from "./same-bytes.ts";

/** What a peer presented. The whole chain is only asked for when the leaf is not known yet: fetching it is dear. */
export interface Presented {
  readonly leaf: Uint8Array;
  readonly chain: () => readonly Uint8Array[];
}

export interface VerifiedClient {
  readonly identity: CertificateIdentity;
  /** DER. */
  readonly certificate: Uint8Array;
  /** Leaf first, the anchor last. */
  readonly path: readonly Certificate[];
  /** The span in which every certificate of its path is valid, milliseconds since 1970, both ends included. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Decides whether a client is who its certificate says, for one set of trust anchors. */
export interface ClientVerifier {
  /** Whom the leaf was verified to be, where nothing is to be looked at again; `null`: `verify` tells. */
  known(leaf: Uint8Array, now: number): VerifiedClient | null;
  /** @throws Refusal with one of the `client_cert_` reasons */
  verify(presented: Presented, now: number): Promise<VerifiedClient>;
  /** Whether a client that was verified has to be looked at again: something may have been revoked since. Cheap. */
  isDue(client: VerifiedClient, now: number): boolean;
  /** Looks again, by the same path. @throws Refusal where it is revoked meanwhile */
  recheck(client: VerifiedClient, now: number): Promise<void>;
}

/** What a verifier heeds beside trust. */
export interface VerifierOptions {
  readonly profile?: Profile;
  readonly revocation?: Revocation | undefined;
  /** Where groups are found. */
  readonly groups?: readonly GroupSource[];
}

const cacheEntries = 10_000;
const rememberedIntermediates = 256;
/** Certificates of one handshake that are looked at: reading one costs next to nothing, and the good one may be the last. */
const maxPresented = 128;

/** When a client was found not to be revoked, and how long that holds. */
interface Checked {
  readonly state: object | undefined;
  readonly until: number;
}

/** @param anchors DER; throws where one can't be read */
export function createClientVerifier(
  anchors: readonly Uint8Array[],
  { profile = "private", revocation, groups }: VerifierOptions = {},
): ClientVerifier {
  const trusted = anchors.map((der) => {
    const parsed = parseCertificate(Uint8Array.from(der));
    if ("malformed" in parsed) throw new Error(`a trust anchor can't be read: ${parsed.malformed}`);
    return parsed;
  });
  const verified = new LruMap<string, VerifiedClient>(cacheEntries);
  /** Of these, who came last: whoever comes several times in a row is found by a look at the bytes. */
  let last: VerifiedClient | undefined;
  const checked = new WeakMap<VerifiedClient, Checked>();
  // A resumed session brings the leaf alone: the intermediates that led to an anchor before lead there again.
  const intermediates = new LruMap<string, Certificate>(rememberedIntermediates);

  const isDue = (client: VerifiedClient, now: number): boolean => {
    const last = checked.get(client);
    return last?.state !== revocation?.state || (last !== undefined && now > last.until);
  };
  const recheck = async (client: VerifiedClient, now: number): Promise<void> => {
    if (revocation === undefined) return;
    // Before the check: what changes during it makes another one due.
    const { state } = revocation;
    const { failure, until } = await revocation.check(client.path, now, profile);
    if (failure !== null) throw refusal(failure);
    checked.set(client, { state, until });
  };

  const remembered = (leaf: Uint8Array): VerifiedClient | undefined => {
    if (last !== undefined && sameBytes(leaf, last.certificate)) return last;
    const found = verified.get(bytesKey(leaf));
    last = found ?? last;
    return found;
  };
  // The rules don't change; the clock does, and what is revoked.
  const isCurrent = ({ notBefore, notAfter }: VerifiedClient, now: number): boolean =>
    now >= notBefore && now <= notAfter;

  return {
    isDue,
    recheck,
    known(leaf, now) {
      const found = remembered(leaf);
      return found !== undefined && isCurrent(found, now) && !isDue(found, now) ? found : null;
    },
    async verify(presented, now) {
      const found = remembered(presented.leaf);
      const key = bytesKey(presented.leaf);
      if (found !== undefined) {
        const current = isCurrent(found, now);
        if (current && !isDue(found, now)) return found;
        if (current && (await passes(recheck(found, now)))) return found;
        // There may be another path.
        verified.delete(key);
        if (last === found) last = undefined;
      }
      const leaf = parse(presented.leaf);
      const sent = presented
        .chain()
        .slice(1, maxPresented)
        .flatMap((der) => intermediates.get(bytesKey(der)) ?? readable(der));
      const state = revocation?.state;
      let until = Number.POSITIVE_INFINITY;
      const result = await validatePath({
        leaf,
        intermediates: [...sent, ...[...intermediates.values()].reverse()],
        anchors: trusted,
        purpose: "client",
        now,
        profile,
        revocation: async (path) => {
          const finding = await revocation?.check(path, now, profile);
          until = finding?.until ?? until;
          return finding?.failure ?? undefined;
        },
      });
      if (!result.ok) throw refusal(result.failure);
      const { path, notBefore, notAfter } = result;
      for (const certificate of path.slice(1, -1)) intermediates.set(bytesKey(certificate.raw), certificate);
      const identity = await identityOf(leaf, groups);
      const client = { identity, certificate: leaf.raw, path, notBefore, notAfter };
      checked.set(client, { state, until });
      verified.set(key, client);
      last = client;
      return client;
    },
  };
}

const refusal = ({ reason, detail }: PathFailure): Refusal => new Refusal(reason, detail);

const passes = (check: Promise<void>): Promise<boolean> =>
  check.then(
    () => true,
    () => false,
  );

// Copies, since parts of a certificate are views on its bytes: what is remembered must outlive a caller's buffer.
function parse(der: Uint8Array): Certificate {
  const parsed = parseCertificate(Uint8Array.from(der));
  if ("malformed" in parsed)
    throw new Refusal("client_cert_unfit", `the client's certificate is malformed: ${parsed.malformed}`);
  return parsed;
}

/** Nothing where it can't be read: a broken one beside a good path does no harm. */
function readable(der: Uint8Array): Certificate[] {
  const parsed = parseCertificate(Uint8Array.from(der));
  return "malformed" in parsed ? [] : [parsed];
}
