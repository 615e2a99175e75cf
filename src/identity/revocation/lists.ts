import { type Certificate, describe } from "../certificate.ts";
import { lastValid } from "../certificate-rules.ts";
import type { Profile } from "../profile.ts";
import type { PathFailure } from "../question.ts";
import { sameName } from "../self-issued.ts";
import { signatureCheck } from "../signature.ts";
import { type Crl, isNumberedBelow } from "./crl.ts";
import { covers } from "./scope.ts";

/**
 * What becomes of a certificate whose revocation can't be told.
 *
 * - `soft`: it is let in. What an outdated list has is revoked all the same.
 * - `hard`: it is refused where its issuer has a list at all, and none that is good and current.
 * - `all`: it is refused, too, where its issuer has no list.
 */
export const crlRules = ["soft", "hard", "all"] as const;
export type CrlRule = (typeof crlRules)[number];

/** What was found, and until when it needs no second look (milliseconds since 1970). */
export interface Finding {
  readonly failure: PathFailure | null;
  readonly until: number;
}

const cRLSign = 6;
/** How far an authority's clock may be ahead: a list that was just made must not keep everybody out. */
const skewMs = 5 * 60_000;

const refused = (reason: "client_cert_revoked" | "client_cert_untrusted", detail: string): PathFailure => ({
  reason,
  detail,
});

const genuine = new WeakSet<Crl>();

/** Whether a list has turned out to be its issuer's word, which only a path to the issuer can show. */
export const isGenuine = (list: Crl): boolean => genuine.has(list);

/** By their time, which is in whole seconds, and then by their numbers. */
const newestFirst = (a: Crl, b: Crl): number =>
  b.thisUpdate - a.thisUpdate || (isNumberedBelow(a, b) ? 1 : isNumberedBelow(b, a) ? -1 : 0);

/** Lists of revoked certificates, which nobody has verified yet. Unchanging: new lists are a new one of these. */
export class RevocationLists {
  readonly #lists: readonly Crl[];
  readonly #rule: CrlRule;
  /** Sources that were never read, by name. */
  readonly #missing: readonly string[];
  /** What was fetched from elsewhere, source by source. */
  readonly #remote: readonly (readonly Crl[])[];
  readonly #signatures = new WeakMap<Certificate, Map<Crl, Promise<string | undefined>>>();

  constructor(
    lists: readonly Crl[],
    rule: CrlRule,
    missing: readonly string[],
    remote: readonly (readonly Crl[])[] = [],
  ) {
    this.#remote = remote;
    // The newest of an issuer's first: it is the one that counts.
    this.#lists = [...lists].sort(newestFirst);
    this.#rule = rule;
    this.#missing = missing;
  }

  /** Is any certificate of a path revoked, the anchor aside (RFC 5280 §6.3)? The path is leaf first, and valid. */
  async check(path: readonly Certificate[], now: number, profile: Profile = "private"): Promise<Finding> {
    const [missing] = this.#missing;
    if (missing !== undefined && this.#rule !== "soft") {
      const detail = `whether it is revoked can't be told: ${missing} was never read`;
      return { failure: refused("client_cert_untrusted", detail), until: now };
    }
    let until = Number.POSITIVE_INFINITY;
    for (const [i, certificate] of path.slice(0, -1).entries()) {
      const issuer = path[i + 1];
      if (issuer === undefined) break;
      const found = await this.#status(certificate, issuer, now, profile);
      if (found.failure !== null) return found;
      until = Math.min(until, found.until);
    }
    return { failure: null, until };
  }

  async #status(
    certificate: Certificate,
    issuer: Certificate,
    now: number,
    profile: Profile,
  ): Promise<Finding> {
    const issuers = this.#lists.filter((list) => sameName(list.canonicalIssuer, certificate.canonicalIssuer));
    const lists = issuers.filter((list) => covers(list.scope, certificate));
    const who = describe(certificate);
    let why = issuers.length === 0 ? `${describe(issuer)} has no list` : undefined;
    if (issuers.length > 0 && lists.length === 0) why = `no list of ${describe(issuer)} is about it`;
    for (const list of lists) {
      const bad = await this.#unsigned(list, issuer);
      if (bad !== undefined) {
        why ??= bad;
        continue;
      }
      if (list.revoked.has(certificate.serial)) {
        const detail = `${who}: revoked by the list of ${list.issuer} of ${new Date(list.thisUpdate).toISOString()} (RFC 5280 §6.3)`;
        return { failure: refused("client_cert_revoked", detail), until: now };
      }
      const end = lastValid({ notAfter: list.nextUpdate });
      if (profile !== "private" && list.number === null) {
        why = `the list of ${list.issuer} has no number (RFC 5280 §5.2.3)`;
        break;
      }
      if (now < list.thisUpdate - skewMs) {
        why ??= `the list of ${list.issuer} is not valid yet`;
        continue;
      }
      if (now <= end) return { failure: null, until: end };
      why = `the list of ${list.issuer} expired at ${new Date(list.nextUpdate).toISOString()}`;
      // An older one says nothing that this one has not taken back.
      break;
    }
    // Something else may have been put in the place of this issuer's list on its way here.
    const unproven = this.#remote.some((fetched) => !fetched.some(isGenuine));
    if (issuers.length === 0 && unproven) why = "a source gave lists of issuers that nobody knows yet";
    const lenient = this.#rule === "soft" || (this.#rule === "hard" && issuers.length === 0 && !unproven);
    if (lenient) return { failure: null, until: Number.POSITIVE_INFINITY };
    const detail = `${who}: whether it is revoked can't be told: ${why} (RFC 5280 §6.3.3)`;
    return { failure: refused("client_cert_untrusted", detail), until: now };
  }

  /** Why a list is not its issuer's word; checked once for each of the two. */
  #unsigned(list: Crl, issuer: Certificate): Promise<string | undefined> {
    let known = this.#signatures.get(issuer);
    if (known === undefined) {
      known = new Map();
      this.#signatures.set(issuer, known);
    }
    let answer = known.get(list);
    if (answer === undefined) {
      answer = verify(list, issuer);
      known.set(list, answer);
    }
    return answer;
  }
}

async function verify(list: Crl, issuer: Certificate): Promise<string | undefined> {
  if (issuer.keyUsage !== null && !issuer.keyUsage.has(cRLSign))
    return `${describe(issuer)} may not sign lists: its key usage lacks cRLSign (RFC 5280 §6.3.3 (f))`;
  const check = signatureCheck(list, issuer);
  const bad = typeof check === "string" ? check : await check();
  if (bad === undefined) genuine.add(list);
  return bad === undefined ? undefined : `the list of ${list.issuer}: ${bad}`;
}
