import type { Certificate } from "./certificate.ts";
import { anyPolicy, type Policies } from "./policy-extensions.ts";
import { isSelfIssued } from "./self-issued.ts";

/**
 * The lowest level of the valid policy tree (RFC 5280 §6.1.2): each policy that is valid there, and those it
 * counts for in the next certificate. The levels above it are never looked at again where any policy will do,
 * and one node a policy keeps the work linear (RFC 9618). `null`: no policy is valid.
 */
type Level = ReadonlyMap<string, ReadonlySet<string>> | null;

/** §6.1.3 (d), (e) */
function descend(level: Level, { asserted }: Policies, anyCounts: boolean): Level {
  if (level === null || asserted === null) return null;
  const expected = new Set([...level.values()].flatMap((policies) => [...policies]));
  const next = new Map<string, ReadonlySet<string>>();
  for (const policy of asserted) {
    if (policy !== anyPolicy && (expected.has(policy) || level.has(anyPolicy)))
      next.set(policy, new Set([policy]));
  }
  if (asserted.has(anyPolicy) && anyCounts) {
    for (const policy of expected) if (!next.has(policy)) next.set(policy, new Set([policy]));
  }
  return next.size === 0 ? null : next;
}

/** §6.1.4 (b) */
function mapped(level: Level, { mappings }: Policies, allowed: boolean): Level {
  if (level === null || mappings.length === 0) return level;
  const next = new Map(level);
  const targets = new Map<string, Set<string>>();
  for (const [issuer, subject] of mappings)
    targets.set(issuer, (targets.get(issuer) ?? new Set()).add(subject));
  for (const [issuer, subjects] of targets) {
    if (!allowed) next.delete(issuer);
    else if (level.has(issuer) || level.has(anyPolicy)) next.set(issuer, subjects);
  }
  return next.size === 0 ? null : next;
}

const least = (counter: number, limit: number | null): number =>
  limit === null ? counter : Math.min(counter, limit);

/**
 * Does a path, leaf first and anchor last, keep to the policy rules, whatever policy it is for (RFC 5280 §6.1)?
 * The certificate at fault and the words for it, if not. What the anchor says of policies counts too (RFC 5937).
 */
export function brokenPolicy(
  path: readonly Certificate[],
): { readonly certificate: Certificate; readonly what: string } | undefined {
  const [anchor, ...below] = [...path].reverse();
  if (anchor === undefined) return undefined;
  const length = below.length;
  let level: Level = new Map([[anyPolicy, new Set([anyPolicy])]]);
  if (anchor.policies.asserted !== null)
    level = mapped(descend(level, anchor.policies, true), anchor.policies, true);
  let explicit = least(length + 1, anchor.policies.requireExplicit);
  let mapping = least(length + 1, anchor.policies.inhibitMapping);
  let any = least(length + 1, anchor.policies.inhibitAny);
  for (const [i, certificate] of below.entries()) {
    const { policies } = certificate;
    const last = i === length - 1;
    const selfIssued = isSelfIssued(certificate);
    level = descend(level, policies, any > 0 || (selfIssued && !last));
    if (explicit === 0 && level === null) {
      return { certificate, what: "a policy is required, and none is valid (RFC 5280 §6.1.3 (f))" };
    }
    if (last) {
      if ((explicit <= 1 || policies.requireExplicit === 0) && level === null) {
        return { certificate, what: "a policy is required, and none is valid (RFC 5280 §6.1.5 (g))" };
      }
      continue;
    }
    level = mapped(level, policies, mapping > 0);
    const step = selfIssued ? 0 : 1;
    explicit = least(Math.max(0, explicit - step), policies.requireExplicit);
    mapping = least(Math.max(0, mapping - step), policies.inhibitMapping);
    any = least(Math.max(0, any - step), policies.inhibitAny);
  }
  return undefined;
}
