import type { Identity } from "./identity.ts";
import { mayAsk, namedBy, parseRight, type Right } from "./rights.ts";

/** Whom a Kubernetes API server is asked to act as for the clients of a route. */
export interface ImpersonationRules {
  /** The first that gives a name is the user. */
  readonly user: readonly Right[];
  readonly groups: readonly Right[];
  readonly uid: Right | null;
  readonly extra: readonly { readonly key: string; readonly value: Right }[];
  /** Whom clients may ask to act as instead. */
  readonly as: readonly ActingRule[];
}

/** A user that may be asked for, together with these groups. */
export interface ActingRule {
  readonly text: string;
  readonly users: readonly Right[];
  readonly groups: readonly Right[];
}

/** Who somebody is to a Kubernetes API server (`user.Info`). */
export interface Impersonated {
  readonly user: string;
  readonly groups: readonly string[];
  readonly uid: string | null;
  readonly extra: readonly (readonly [key: string, value: string])[];
}

/** Whom a client asks to act as. */
export type AskedFor = Pick<Impersonated, "user" | "groups">;

/** Where there is nobody to act as: words for the client. */
export interface Nobody {
  readonly problem: string;
}

const isLiteral = ({ parts }: Right): boolean => parts.every((part) => typeof part === "string");

/** Names that Kubernetes keeps for its own components. */
const isReserved = (name: string): boolean => /^system:/i.test(name);

/**
 * What no name holds that is to stay itself: a reader on the way takes white space off its ends (RFC 9110 §5.5), and
 * what can't be seen makes one name look like another.
 */
function unfit(name: string): string | null {
  if (name.trim() === "") return "is blank";
  if (name.trim() !== name) return "begins or ends with white space";
  return /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(name) ? "holds a character that can't be seen" : null;
}

/**
 * Reads what the certificate's holder is called upstream: `{cn}`, `{group}`, `staff:{email}`, or a name as it stands.
 * A name that Kubernetes keeps for itself has to be there in full.
 */
export function parseMapped(text: string, captures: readonly string[]): Right | Nobody {
  const right = parseRight(text, captures);
  if ("problem" in right) return right;
  const problem = (what: string): Nobody => ({ problem: `${JSON.stringify(text)}: ${what}` });
  if (text.includes("*")) return problem("* stands for nothing here: expected a name, or {cn} and the like");
  if (isLiteral(right)) {
    const why = unfit(text);
    return why === null ? right : problem(`the name ${why}`);
  }
  return isReserved(text)
    ? problem("what begins with system: is Kubernetes's own, and never made of what a certificate says")
    : right;
}

/** Reads one rule on whom clients may ask to act as: `user:deploy,group:ops`, a comma inside a name written `\,`. */
export function parseActing(text: string, captures: readonly string[]): ActingRule | Nobody {
  const found = { user: [] as Right[], group: [] as Right[] };
  for (const term of text.split(/(?<!\\),/)) {
    const [, kind, name = ""] = /^\s*(user|group):(.+)$/s.exec(term.replaceAll("\\,", ",")) ?? [];
    if (kind !== "user" && kind !== "group")
      return { problem: `${JSON.stringify(term)} is no rule: expected user: or group: and a name` };
    const right = parseRight(name.trim(), captures);
    if ("problem" in right) return right;
    if (isReserved(right.text) && !isLiteral(right))
      return { problem: `${JSON.stringify(name)}: what begins with system: has to be there in full` };
    found[kind].push(right);
  }
  if (found.user.length === 0)
    return { problem: `${JSON.stringify(text)} names no user: Kubernetes has nobody act as a group alone` };
  return { text, users: found.user, groups: found.group };
}

type Captures = Readonly<Record<string, string>>;

/** The names that one right gives. What a certificate says never makes one that Kubernetes keeps for itself. */
function mapped(right: Right, identity: Identity, captures: Captures): readonly string[] | Nobody {
  const names = namedBy([right], identity, captures);
  for (const name of names) {
    const why = !isLiteral(right) && isReserved(name) ? "is Kubernetes's own" : unfit(name);
    if (why !== null)
      return {
        problem: `the name ${JSON.stringify(name)}, which ${right.text} makes of the certificate, ${why}`,
      };
  }
  return names;
}

function allMapped(
  rights: readonly Right[],
  identity: Identity,
  captures: Captures,
): readonly string[] | Nobody {
  const all = new Set<string>();
  for (const right of rights) {
    const names = mapped(right, identity, captures);
    if ("problem" in names) return names;
    for (const name of names) all.add(name);
  }
  return [...all];
}

/** Who the holder of a certificate is to the API server. */
export function impersonated(
  { user, groups, uid, extra }: ImpersonationRules,
  identity: Identity,
  captures: Captures,
): Impersonated | Nobody {
  let name: string | undefined;
  for (const right of user) {
    const names = mapped(right, identity, captures);
    if ("problem" in names) return names;
    name ??= names[0];
    if (name !== undefined) break;
  }
  if (name === undefined) {
    const places = user.map(({ text }) => text).join(" or ");
    return {
      problem: `the certificate of ${identity.subject} says nothing for ${places}: there is no user to act as`,
    };
  }
  const inGroups = allMapped(groups, identity, captures);
  if ("problem" in inGroups) return inGroups;
  const uids = uid === null ? [] : mapped(uid, identity, captures);
  if ("problem" in uids) return uids;
  const more: (readonly [string, string])[] = [];
  for (const { key, value } of extra) {
    const values = mapped(value, identity, captures);
    if ("problem" in values) return values;
    more.push(...values.map((one) => [key, one] as const));
  }
  return { user: name, groups: inGroups, uid: uids[0] ?? null, extra: more };
}

/** Whether a right gives a name that was asked for; one that Kubernetes keeps for itself only where it stands there. */
const gives = (rights: readonly Right[], name: string, identity: Identity, captures: Captures): boolean =>
  isReserved(name)
    ? rights.some((right) => isReserved(right.text) && mayAsk([right], name, identity, captures))
    : mayAsk(rights, name, identity, captures);

/** Whom a client acts as that asks to be somebody else; it has no group then but those that it asks for. */
export function actingAs(
  { as }: ImpersonationRules,
  asked: AskedFor,
  identity: Identity,
  captures: Captures,
): Impersonated | Nobody {
  const names = [asked.user, ...asked.groups];
  const may = as.some(
    ({ users, groups }) =>
      gives(users, asked.user, identity, captures) &&
      asked.groups.every((group) => gives(groups, group, identity, captures)),
  );
  // Names from other alphabets have more than one form in a field.
  if (may && names.every((name) => unfit(name) === null && /^[ -~]+$/.test(name)))
    return { user: asked.user, groups: asked.groups, uid: null, extra: [] };
  const groups = asked.groups.length === 0 ? "" : ` in ${asked.groups.join(", ")}`;
  return { problem: `nobody of this route may act as ${asked.user}${groups} by its kube_as rules` };
}
