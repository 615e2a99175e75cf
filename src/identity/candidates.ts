import type { Certificate } from "./certificate.ts";
import { lastValid } from "./certificate-rules.ts";
import { bytesKey } from "./same-bytes.ts";

/** The certificates of one name and one key: whom one of them issued to, every one of them did. */
export interface Authority {
  readonly name: string;
  readonly key: string;
  /** Each once, those that are likeliest to lead on first. */
  readonly certificates: readonly Certificate[];
  /** Its subject key identifiers, and whether one of its certificates has none. */
  readonly keyIds: ReadonlySet<string>;
  readonly anonymous: boolean;
}

/** A name in its canonical form, as a key for maps. */
const nameKey = (name: readonly string[]): string => name.join("\n");

/** Who a certificate is of, in the words of {@link Authority}. */
export const authorityOf = ({ canonicalSubject, spki }: Certificate): Pick<Authority, "name" | "key"> => ({
  name: nameKey(canonicalSubject),
  key: bytesKey(spki),
});

/** How likely one of these keys is the one that is meant: identifiers help, and prove nothing. */
function likelihood(wanted: Uint8Array | null, { keyIds, anonymous }: Authority): number {
  if (wanted === null) return 1;
  if (keyIds.has(bytesKey(wanted))) return 2;
  return anonymous ? 1 : 0;
}

/** Certificates by subject. Built as names are asked for: most of a crowd is never looked at twice. */
export class Candidates {
  readonly #all: readonly Certificate[];
  readonly #rank: (certificate: Certificate) => number;
  readonly #named = new Map<string, readonly Authority[]>();

  /** @param rank what is higher is tried before, of the certificates of one authority */
  constructor(all: readonly Certificate[], rank: (certificate: Certificate) => number) {
    this.#all = all;
    this.#rank = rank;
  }

  /** Whoever may have issued a certificate, the likeliest first. */
  issuersOf(child: Certificate): readonly Authority[] {
    const wanted = child.authorityKeyId?.keyId ?? null;
    return this.named(child.canonicalIssuer)
      .map((authority) => ({ authority, likely: likelihood(wanted, authority) }))
      .sort((a, b) => b.likely - a.likely)
      .map(({ authority }) => authority);
  }

  named(canonicalName: readonly string[]): readonly Authority[] {
    const name = nameKey(canonicalName);
    let named = this.#named.get(name);
    if (named === undefined) {
      const byKey = new Map<string, Map<string, Certificate>>();
      for (const one of this.#all) {
        if (nameKey(one.canonicalSubject) !== name) continue;
        const key = bytesKey(one.spki);
        const once = byKey.get(key) ?? new Map<string, Certificate>();
        byKey.set(key, once.set(bytesKey(one.raw), one));
      }
      named = [...byKey].map(([key, once]) => this.#authority(name, key, [...once.values()]));
      this.#named.set(name, named);
    }
    return named;
  }

  #authority(name: string, key: string, certificates: readonly Certificate[]): Authority {
    const ranked = certificates
      .map((certificate) => ({ certificate, rank: this.#rank(certificate) }))
      .sort((a, b) => b.rank - a.rank)
      .map(({ certificate }) => certificate);
    const ids = certificates.flatMap(({ subjectKeyId }) => (subjectKeyId ? [bytesKey(subjectKeyId)] : []));
    return {
      name,
      key,
      certificates: ranked,
      keyIds: new Set(ids),
      anonymous: ids.length < certificates.length,
    };
  }
}

/** Those of a crowd whose issuers, by their names, lead up to an anchor: no other can stand on a path. */
export function leadingUp(
  anchors: readonly Certificate[],
  crowd: readonly Certificate[],
): readonly Certificate[] {
  const issuedBy = new Map<string, Set<string>>();
  for (const { canonicalIssuer, canonicalSubject } of crowd) {
    const issuer = nameKey(canonicalIssuer);
    const subjects = issuedBy.get(issuer) ?? new Set<string>();
    issuedBy.set(issuer, subjects.add(nameKey(canonicalSubject)));
  }
  // A set is walked to its end, what is added on the way included.
  const trusted = new Set(anchors.map(({ canonicalSubject }) => nameKey(canonicalSubject)));
  for (const name of trusted) for (const subject of issuedBy.get(name) ?? []) trusted.add(subject);
  return crowd.filter(({ canonicalIssuer }) => trusted.has(nameKey(canonicalIssuer)));
}

/** Intermediates: those that are valid now before others, and then those that an anchor is likeliest to have issued. */
export function rankBelow(anchors: Candidates, now: number): (certificate: Certificate) => number {
  return (certificate) => {
    const valid = now >= certificate.notBefore && now <= lastValid(certificate);
    const wanted = certificate.authorityKeyId?.keyId ?? null;
    const above = anchors.named(certificate.canonicalIssuer).map((anchor) => 1 + likelihood(wanted, anchor));
    return (valid ? 4 : 0) + Math.max(0, ...above);
  };
}
