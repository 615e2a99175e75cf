/** What an authority says is wrong (RFC 8555 §6.7). */
export class AcmeProblem extends Error {
  override readonly name = "AcmeProblem";
  /** Milliseconds until it may be asked again; `null`: it does not say. */
  readonly retryAfterMs: number | null;

  constructor(message: string, retryAfterMs: number | null = null) {
    super(message);
    this.retryAfterMs = retryAfterMs;
  }
}

const maxText = 500;

/** Printable and short: it goes into the log, and comes from elsewhere. */
const clean = (text: string): string => text.replace(/[^\x20-\x7e]+/g, " ").slice(0, maxText);

/** A problem document in words, its type first; `null` where it is none. */
export function problemText(document: unknown): string | null {
  if (typeof document !== "object" || document === null) return null;
  const { type, detail, subproblems } = document as Readonly<Record<string, unknown>>;
  const parts = [
    typeof type === "string" ? type.replace(/^urn:ietf:params:acme:error:/, "") : null,
    typeof detail === "string" ? detail : null,
    ...(Array.isArray(subproblems) ? subproblems.slice(0, 5).map(problemText) : []),
  ].filter((part) => part !== null && part !== "");
  return parts.length === 0 ? null : clean(parts.join(": "));
}

/** `Retry-After` in milliseconds (RFC 9110 §10.2.3). */
export function retryAfterMs(value: string | undefined, now: number): number | null {
  if (value === undefined) return null;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = / GMT$/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}
