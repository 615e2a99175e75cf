import { lastValid } from "./certificate-rules.ts";
import { findPath } from "./path-search.ts";
import type { PathQuestion, PathResult } from "./question.ts";

/**
 * Finds a valid path from the leaf to one of the anchors (RFC 5280 §6). What costs nothing is checked before
 * signatures are, a candidate that fails makes way for the next, and the work is bounded whatever was sent.
 * Pure but for WebCrypto; never rejects.
 */
export async function validatePath(question: PathQuestion): Promise<PathResult> {
  const found = await findPath(question);
  if ("failure" in found) return { ok: false, failure: found.failure };
  const { path } = found;
  return {
    ok: true,
    path,
    notBefore: Math.max(...path.map((certificate) => certificate.notBefore)),
    notAfter: Math.min(...path.map(lastValid)),
  };
}
