/** Values of a claim: one, several, or none. */
export type Claims = Readonly<Record<string, unknown>>;

interface Slot {
  readonly claim: string;
  /** `{+claim}` (RFC 6570 §3.2.3): the value may hold `/`, which elsewhere would add a segment to a URI. */
  readonly path: boolean;
}

/** Text with claims in it: `{email}`, `spiffe://example.com/ci/{+repository}`. */
export interface Template {
  readonly text: string;
  readonly parts: readonly (string | Slot)[];
}

/** Reads a template. */
export function parseTemplate(text: string): Template | { readonly problem: string } {
  const parts: (string | Slot)[] = [];
  for (const piece of text.split(/(\{[^{}]*\})/)) {
    if (piece === "") continue;
    const [, plus, claim] = /^\{(\+?)([^{}+][^{}]*)\}$/.exec(piece) ?? [];
    if (claim !== undefined) parts.push({ claim, path: plus === "+" });
    else if (/[{}]/.test(piece))
      return { problem: `${JSON.stringify(text)}: expected a claim's name between { and }` };
    else parts.push(piece);
  }
  return parts.length === 0 ? { problem: "is empty" } : { text, parts };
}

/** By its whole name, else step by step at the dots: `realm_access.roles`. */
function lookUp(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: unknown = claims;
  for (const step of name.split(".")) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    if (!Object.hasOwn(value, step)) return undefined;
    value = (value as Claims)[step];
  }
  return value;
}

/** A claim's values as text; `null` where it is not there, or holds what is no text. */
export function claimValues(claims: Claims, name: string): readonly string[] | null {
  const value = lookUp(claims, name);
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  const texts = values.map((one) =>
    typeof one === "string" || typeof one === "boolean" || Number.isSafeInteger(one) ? String(one) : null,
  );
  return texts.every((text) => text !== null) ? texts : null;
}

/** What a segment of a URI can hold as it stands, and no step up or down. */
const isSegment = (text: string): boolean => /^[A-Za-z0-9._~-]+$/.test(text) && text !== "." && text !== "..";

/** Why a template could not be filled in. */
export class UnfitClaim extends Error {}
/** There is no such claim, or none that is text. */
export class MissingClaim extends UnfitClaim {}

/**
 * The texts that a template makes of these claims, one for each value where a claim is a list.
 *
 * @param uri whether it makes a URI, in which a value must stay within its segment
 * @throws UnfitClaim
 */
export function fillIn(template: Template, claims: Claims, uri: boolean): readonly string[] {
  let texts = [""];
  for (const part of template.parts) {
    if (typeof part === "string") {
      texts = texts.map((text) => text + part);
      continue;
    }
    const values = claimValues(claims, part.claim);
    if (values === null) throw new MissingClaim(`the token has no claim ${part.claim} that is text`);
    if (uri && !values.every((value) => (part.path ? value.split("/") : [value]).every(isSegment)))
      throw new UnfitClaim(`the claim ${part.claim} has characters that can't stand in a URI's segment`);
    if (texts.length * values.length > 1024) throw new UnfitClaim(`${template.text} makes too many values`);
    texts = texts.flatMap((text) => values.map((value) => text + value));
  }
  return texts;
}
