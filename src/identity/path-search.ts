import { Candidates } from "./candidates.ts";
import { type Certificate, describe } from "./certificate.ts";
import { checkIssuer, checkLeaf, unfit, untrusted } from "./certificate-rules.ts";
import { brokenConstraint, type Comparisons } from "./constrained-names.ts";
import { brokenPolicy } from "./policy-levels.ts";
import type { PathFailure, PathQuestion } from "./question.ts";
import { bytesKey, sameBytes } from "./same-bytes.ts";
import { isSelfIssued, sameName } from "./self-issued.ts";
import { signatureCheck } from "./signature.ts";

/** Certificates of the longest path: longer than any authority makes. */
const maxDepth = 8;
/** Signature checks a question may cost: a peer chooses how many candidates it sends. */
const maxSignatures = 32;
/** Candidates looked at, each as often as a path leads to it. */
const maxSteps = 4096;
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

/** The same authority twice on a path is a way round in a circle, whichever of its certificates it shows. */
const sameAuthority = (a: Certificate, b: Certificate): boolean =>
  a === b || (sameBytes(a.spki, b.spki) && sameName(a.canonicalSubject, b.canonicalSubject));

class Search {
  readonly #question: PathQuestion;
  readonly #anchors: Candidates;
  readonly #intermediates: Candidates;
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
    this.#anchors = new Candidates(question.anchors);
    this.#intermediates = new Candidates(question.intermediates);
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
    for (const role of ["anchor", "intermediate"] as const) {
      const candidates = role === "anchor" ? this.#anchors : this.#intermediates;
      for (const issuer of candidates.issuersOf(tip)) {
        if (path.some((one) => sameAuthority(one, issuer))) continue;
        if ((this.#final ?? this.#exhausted) !== undefined) return undefined;
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
        if (!(await this.#signed(tip, issuer))) continue;
        const found = role === "anchor" ? await this.#whole(longer) : await this.#extend(longer, deeper);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  /** What speaks against the last of a path, its issuer's signature aside. */
  #broken(
    path: readonly Certificate[],
    role: "anchor" | "intermediate",
    below: number,
    deeper: number,
  ): PathFailure | undefined {
    const issuer = path[path.length - 1];
    if (issuer === undefined) return undefined;
    const failure = checkIssuer(issuer, role, below, this.#question);
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
