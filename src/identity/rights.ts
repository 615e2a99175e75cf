import type { Identity } from "./identity.ts";
import { globMatches, identityKeys, valuesOf } from "./policy.ts";

/** What a client may ask for, such as a database user: `app`, `{cn}`, `{group}_ro`, `dev_*`. */
export interface Right {
  readonly text: string;
  /** Literal text, in which `*` is one or more characters, and names of what is filled in. */
  readonly parts: readonly (string | { readonly name: string })[];
}

const isKey = (name: string): name is (typeof identityKeys)[number] =>
  identityKeys.some((key) => key === name);

/**
 * Reads one right. `{cn}`, `{group}` and the like stand for what the client's certificate says, other names in
 * braces for what the server name captured.
 *
 * @param captures what every name of the route captures
 */
export function parseRight(text: string, captures: readonly string[]): Right | { readonly problem: string } {
  const parts: Right["parts"][number][] = [];
  const problem = (what: string) => ({ problem: `${JSON.stringify(text)}: ${what}` });
  const taken = captures.find(isKey);
  if (taken !== undefined)
    return problem(`{${taken}} is the certificate's: call what sni= captures otherwise`);
  for (const piece of text.split(/(\{[^{}]*\})/)) {
    const [, name] = /^\{(.*)\}$/.exec(piece) ?? [];
    if (name === undefined) {
      if (/[{}]/.test(piece)) return problem("expected a name between { and }");
      if (piece.includes("**")) return problem("one * stands for any characters already");
      if (piece !== "") parts.push(piece);
      continue;
    }
    if (!isKey(name) && !captures.includes(name)) {
      const known = [...identityKeys, ...captures].map((one) => `{${one}}`);
      return problem(`{${name}} is not known: expected one of ${known.join(" ")}`);
    }
    parts.push({ name });
  }
  return { text, parts };
}

/** More ways to fill a right in than any sensible one has. */
const maxPatterns = 1024;

function patterns(
  { parts }: Right,
  identity: Identity | null,
  captures: Readonly<Record<string, string>>,
): readonly string[] {
  let found = [""];
  for (const part of parts) {
    if (typeof part === "string") {
      found = found.map((text) => text + part);
      continue;
    }
    const { name } = part;
    const values = isKey(name) ? (identity === null ? [] : valuesOf(identity, name)) : [captures[name] ?? ""];
    // Filled in as it stands: a certificate's * must not stand for anything else, and nothing must not match.
    const literal = values.filter((value) => value !== "" && !value.includes("*"));
    if (found.length * literal.length > maxPatterns) return [];
    found = found.flatMap((text) => literal.map((value) => text + value));
  }
  return found;
}

/** Whether one of the rights gives this value. No rights give everything, which the configuration sees to. */
export const mayAsk = (
  rights: readonly Right[] | null,
  value: string,
  identity: Identity | null,
  captures: Readonly<Record<string, string>>,
): boolean =>
  rights === null ||
  rights.some((right) => patterns(right, identity, captures).some((pattern) => globMatches(pattern, value)));

/** What the rights give by name, in their order: those in which no `*` stands. */
export const namedBy = (
  rights: readonly Right[],
  identity: Identity | null,
  captures: Readonly<Record<string, string>>,
): readonly string[] => [
  ...new Set(
    rights
      .filter(({ parts }) => !parts.some((part) => typeof part === "string" && part.includes("*")))
      .flatMap((right) => patterns(right, identity, captures)),
  ),
];
