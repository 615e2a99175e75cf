import { type Authority, authorityOf, Candidates, leadingUp, rankBelow } from "./candidates.ts";
import { type Certificate, describe } from "./certificate.ts";
import { checkIssuer, checkLeaf, checkLength, unfit, untrusted } from "./certificate-rules.ts";
import { brokenConstraint, type Comparisons } from "./constrained-names.ts";
import { brokenPolicy } from "./policy-levels.ts";
import type { PathFailure, PathQuestion } from "./question.ts";
import { bytesKey } from "./same-bytes.ts";
import { isSelfIssued } from "./self-issued.ts";
import { signatureCheck } from "./signature.ts";

/** Certificates of the longest path: longer than any authority makes. */
const maxDepth = 8;
/** Signature checks a question may cost: a peer chooses how many candidates it sends. */
const maxSignatures = 32;
/** Candidates looked at, each as often as a path leads to it. */
const maxSteps = 16_384;
/** Names compared with constraints. */
const maxComparisons = 100_000;
/** Refused candidates whose signatures are checked, once there is no path, to say what is wrong with the nearest. */
const maxExplained = 64;

interface Edge {
  readonly child: Certificate;
  readonly issuer: Certificate;
  readonly failure: PathFailure;
}

type Found = { readonly path: readonly Certificate[] } | { readonly failure: PathFailure };

type IssuerRole = "anchor" | "intermediate";

class Search {
  readonly #question: PathQuestion;
  readonly #anchors: Candidates;
  readonly #intermediates: Candidates;
  /** What speaks against an issuer by itself, found out once. */
  readonly #unfit: Readonly<Record<IssuerRole, Map<Certificate, PathFailure | undefined>>> = {
    anchor: new Map(),
    intermediate: new Map(),
  };
  readonly #signatures = new Map<Certificate, Map<string, Promise<string | undefined>>>();
  readonly #comparisons: Comparisons = { left: maxComparisons };
  #signaturesLeft = maxSignatures;
  #stepsLeft = maxSteps;
  /** In the order in which they were met. */
  readonly #refused: Edge[] = [];
  #unsigned: PathFailure | undefined;
  #exhausted: PathFailure | undefined;
  /** What no other path would mend. */
  #final: PathFailure | undefined;

  constructor(question: PathQuestion) {
    this.#question = question;
    const { anchors, intermediates, now } = question;
    this.#anchors = new Candidates(anchors, () => 0);
    this.#intermediates = new Candidates(leadingUp(anchors, intermediates), rankBelow(this.#anchors, now));
  }

  async run(): Promise<Found> {
    const { leaf } = this.#question;
    const path = await this.#extend([leaf], 0);
    if (path !== undefined) return { path };
    const failure =
      this.#final ??
      (await this.#explain()) ??
      this.#exhausted ??
      this.#unsigned ??
      untrusted(leaf, "no path to a trusted authority (RFC 5280 §6.1)");
    return { failure };
  }

  /** @param below how many certificates of the path, the leaf aside, are not self-issued */
  async #extend(path: readonly Certificate[], below: number): Promise<readonly Certificate[] | undefined> {
    const tip = path[path.length - 1];
    if (tip === undefined || path.length >= maxDepth) return undefined;
    const already = path.map(authorityOf);
    for (const role of ["anchor", "intermediate"] as const) {
      const candidates = role === "anchor" ? this.#anchors : this.#intermediates;
      for (const authority of candidates.issuersOf(tip)) {
        // Twice on a path it is a way round in a circle, whichever of its certificates it shows.
        if (already.some(({ name, key }) => name === authority.name && key === authority.key)) continue;
        const found = await this.#by(authority, role, path, below);
        if (found !== undefined) return found;
        if ((this.#final ?? this.#exhausted) !== undefined) return undefined;
      }
    }
    return undefined;
  }

  /** On by any of an authority's certificates. */
  async #by(
    { certificates }: Authority,
    role: IssuerRole,
    path: readonly Certificate[],
    below: number,
  ): Promise<readonly Certificate[] | undefined> {
    const tip = path[path.length - 1];
    for (const issuer of certificates) {
      if (tip === undefined || (this.#final ?? this.#exhausted) !== undefined) return undefined;
      if (this.#stepsLeft-- === 0) {
        this.#exhausted = untrusted(this.#question.leaf, `gave up after ${maxSteps} steps`);
        return undefined;
      }
      const deeper = below + (role === "intermediate" && !isSelfIssued(issuer) ? 1 : 0);
      const longer = [...path, issuer];
      const failure = this.#broken(longer, role, below, deeper);
      if (failure !== undefined) {
        this.#refuse({ child: tip, issuer, failure });
        continue;
      }
      // They have one key: the others did not sign it either.
      if (!(await this.#signed(tip, issuer))) return undefined;
      const found = role === "anchor" ? await this.#whole(longer) : await this.#extend(longer, deeper);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** What speaks against the last of a path, its issuer's signature aside. */
  #broken(
    path: readonly Certificate[],
    role: IssuerRole,
    below: number,
    deeper: number,
  ): PathFailure | undefined {
    const issuer = path[path.length - 1];
    if (issuer === undefined) return undefined;
    const failure = this.#unfitIssuer(issuer, role) ?? checkLength(issuer, below);
    if (failure !== undefined) return failure;
    const { maxIntermediates } = this.#question;
    if (maxIntermediates !== undefined && deeper > maxIntermediates) {
      return untrusted(issuer, `more than ${maxIntermediates} intermediates below it`);
    }
    if (issuer.nameConstraints === null) return undefined;
    // Constraints hold for all that is below, but for authorities that renew their own key (§6.1.3 (b), (c)).
    for (const [i, one] of path.slice(0, -1).entries()) {
      if (i > 0 && isSelfIssued(one)) continue;
      const broken = brokenConstraint(one, issuer.nameConstraints, this.#comparisons);
      if (broken !== undefined) {
        return unfit(one, `${broken} by the constraints of ${describe(issuer)} (RFC 5280 §4.2.1.10)`);
      }
    }
    return undefined;
  }

  #unfitIssuer(issuer: Certificate, role: IssuerRole): PathFailure | undefined {
    const known = this.#unfit[role];
    if (!known.has(issuer)) known.set(issuer, checkIssuer(issuer, role, this.#question));
    return known.get(issuer);
  }

  /** A path that has come to its anchor, if it is a good one in whole too. */
  async #whole(path: readonly Certificate[]): Promise<readonly Certificate[] | undefined> {
    const [leaf, first] = path;
    const [anchor, below] = [...path].reverse();
    if (leaf === undefined || first === undefined || anchor === undefined || below === undefined)
      return undefined;
    const policy = brokenPolicy(path);
    if (policy !== undefined) {
      this.#refuse({ child: below, issuer: anchor, failure: unfit(policy.certificate, policy.what) });
      return undefined;
    }
    // Not before: who is not trusted learns nothing about the rules. Nor does another path make a leaf better.
    this.#final = checkLeaf(this.#question);
    if (this.#final !== undefined) return undefined;
    const revoked = await this.#question.revocation?.(path);
    if (revoked === undefined) return path;
    this.#refuse({ child: leaf, issuer: first, failure: revoked });
    return undefined;
  }

  #refuse(edge: Edge): void {
    if (this.#refused.length < maxExplained) this.#refused.push(edge);
  }

  /** One check a pair of certificate and key, however many paths lead over it. */
  async #signed(child: Certificate, issuer: Certificate): Promise<boolean> {
    let known = this.#signatures.get(child);
    if (known === undefined) {
      known = new Map();
      this.#signatures.set(child, known);
    }
    const key = bytesKey(issuer.spki);
    let answer = known.get(key);
    if (answer === undefined) {
      const check = signatureCheck(child, issuer);
      if (typeof check === "string") answer = Promise.resolve(check);
      else if (this.#signaturesLeft === 0) {
        this.#exhausted ??= untrusted(this.#question.leaf, `gave up after ${maxSignatures} signatures`);
        return false;
      } else {
        this.#signaturesLeft--;
        answer = check();
      }
      known.set(key, answer);
    }
    const bad = await answer;
    if (bad !== undefined) this.#unsigned ??= untrusted(child, bad);
    return bad === undefined;
  }

  /** Of all that is wrong the first is told that stands in a certificate which really issued the one before it. */
  async #explain(): Promise<PathFailure | undefined> {
    for (const { child, issuer, failure } of this.#refused) {
      if (await this.#signed(child, issuer)) return failure;
    }
    return undefined;
  }
}

/** Looks for a path, from the leaf up, anchors before intermediates. */
export const findPath = (question: PathQuestion): Promise<Found> => new Search(question).run();
