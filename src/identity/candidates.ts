import type { Certificate } from "./certificate.ts";
import { bytesKey, sameBytes } from "./same-bytes.ts";
import { sameName } from "./self-issued.ts";

/** How likely an issuer is to be the right one of its name, by the key identifiers: they help, and prove nothing. */
function likelihood(child: Certificate, issuer: Certificate): number {
  const wanted = child.authorityKeyId?.keyId ?? null;
  if (wanted === null || issuer.subjectKeyId === null) return 1;
  return sameBytes(wanted, issuer.subjectKeyId) ? 2 : 0;
}

/** Certificates by subject. Built as names are asked for: most of a crowd is never looked at twice. */
export class Candidates {
  readonly #all: readonly Certificate[];
  readonly #named = new Map<string, readonly Certificate[]>();

  constructor(all: readonly Certificate[]) {
    this.#all = all;
  }

  /** Whoever may have issued a certificate, each once, the likeliest first. */
  issuersOf(child: Certificate): readonly Certificate[] {
    const key = child.canonicalIssuer.join("\n");
    let named = this.#named.get(key);
    if (named === undefined) {
      const once = new Map<string, Certificate>();
      for (const one of this.#all) {
        if (!sameName(one.canonicalSubject, child.canonicalIssuer)) continue;
        const bytes = bytesKey(one.raw);
        if (!once.has(bytes)) once.set(bytes, one);
      }
      named = [...once.values()];
      this.#named.set(key, named);
    }
    return [...named].sort((a, b) => likelihood(child, b) - likelihood(child, a));
  }
}
