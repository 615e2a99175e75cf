import { certificatesFromPem } from "../authority/pem.ts";
import { type Certificate, parseCertificate } from "../identity/certificate.ts";

/** A number from 0 to 1 that a text always has: what is spread by it stays spread after a restart. */
function fraction(text: string): number {
  // FNV-1a: spreading needs no more.
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash / 0xffffffff;
}

function leafOf(pem: string): Certificate | null {
  const [leaf] = certificatesFromPem(pem);
  const certificate = leaf === undefined ? undefined : parseCertificate(leaf);
  return certificate === undefined || "malformed" in certificate ? null : certificate;
}

/** When a certificate was issued, milliseconds since 1970; 0 where it can't be read. */
export const issuedAt = (pem: string): number => leafOf(pem)?.notBefore ?? 0;

/**
 * When a certificate is to be renewed, milliseconds since 1970: with a third to a quarter of its time left, so that
 * those that were ordered together are not renewed together. At once where it can't be read.
 */
export function renewalOf(pem: string): number {
  const certificate = leafOf(pem);
  if (certificate === null) return 0;
  const { notBefore, notAfter, serial } = certificate;
  return notAfter - (notAfter - notBefore) * (1 / 3 - fraction(serial) / 12);
}

const minuteMs = 60_000;
const longestMs = 12 * 60 * minuteMs;
/** Longer than any limit of an authority that somebody waits for without a look at the log. */
const longestAskedMs = 7 * 24 * 60 * minuteMs;

/** At random, so that not all come again together. */
const spread = 0.1;
/** Who is told to wait longer was told so by a clock that went wrong. */
export const longestWaitMs = longestAskedMs * (1 + spread);

/** What came of an order that failed: the authority said no, or did not say anything. */
export type Fault = "refused" | "unreachable";

const firstMs: Readonly<Record<Fault, number>> = { refused: 5 * minuteMs, unreachable: minuteMs / 2 };

/**
 * How long to wait after a name failed: 5 minutes, half a minute where nobody said no, twice as long after each failure,
 * 12 hours at most, or as long as the authority asks for, and up to a tenth more. Let's Encrypt takes five failed
 * validations of a name an hour.
 *
 * @param count of failures in a row, this one among them
 */
export function waitAfter(fault: Fault, count: number, askedMs: number | null, random: () => number): number {
  const own = Math.min(firstMs[fault] * 2 ** Math.min(count - 1, 20), longestMs);
  return Math.max(own, Math.min(askedMs ?? 0, longestAskedMs)) * (1 + random() * spread);
}
