import { LruMap } from "../core/lru-map.ts";
import { Refusal } from "../errors.ts";
import { type Certificate, parseCertificate } from "./certificate.ts";
import { validatePath } from "./chain.ts";
import { type Identity, identityOf } from "./identity.ts";
import { bytesKey } from "./same-bytes.ts";

/** What a peer presented. The whole chain is only asked for when the leaf is not known yet: fetching it is dear. */
export interface Presented {
  readonly leaf: Uint8Array;
  readonly chain: () => readonly Uint8Array[];
}

export interface VerifiedClient {
  readonly identity: Identity;
  /** DER. */
  readonly certificate: Uint8Array;
  /** The span in which every certificate of its path is valid, milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * Decides whether a client is who its certificate says, for one set of trust anchors. Revocation will
 * stand behind this same face.
 */
export interface ClientVerifier {
  /** @throws Refusal with one of the `client_cert_` reasons */
  verify(presented: Presented, now: number): Promise<VerifiedClient>;
}

const cacheEntries = 10_000;
const rememberedIntermediates = 256;
/** Certificates of one handshake that are looked at: no real chain is longer. */
const maxPresented = 16;

/** @param anchors DER; throws where one can't be read */
export function createClientVerifier(anchors: readonly Uint8Array[]): ClientVerifier {
  const trusted = anchors.map((der) => {
    const parsed = parseCertificate(Uint8Array.from(der));
    if ("malformed" in parsed) throw new Error(`a trust anchor can't be read: ${parsed.malformed}`);
    return parsed;
  });
  const verified = new LruMap<string, VerifiedClient>(cacheEntries);
  // A resumed session brings the leaf alone: the intermediates that led to an anchor before lead there again.
  const intermediates = new LruMap<string, Certificate>(rememberedIntermediates);

  return {
    async verify(presented, now) {
      const key = bytesKey(presented.leaf);
      const known = verified.get(key);
      if (known !== undefined) {
        // The rules don't change; the clock does. An expired path may have a successor: look again below.
        if (now >= known.notBefore && now <= known.notAfter) return known;
        verified.delete(key);
      }
      const leaf = parse(presented.leaf);
      const sent = presented
        .chain()
        .slice(1, maxPresented)
        .flatMap((der) => intermediates.get(bytesKey(der)) ?? readable(der));
      const result = await validatePath({
        leaf,
        intermediates: [...sent, ...[...intermediates.values()].reverse()],
        anchors: trusted,
        purpose: "client",
        now,
      });
      if (!result.ok) throw new Refusal(result.failure.reason, result.failure.detail);
      for (const certificate of result.path.slice(1, -1))
        intermediates.set(bytesKey(certificate.raw), certificate);
      const client = {
        identity: await identityOf(leaf),
        certificate: leaf.raw,
        notBefore: result.notBefore,
        notAfter: result.notAfter,
      };
      verified.set(key, client);
      return client;
    },
  };
}

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
