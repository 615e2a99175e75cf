import assert from "node:assert/strict";
import { type Certificate, parseCertificate } from "../../src/identity/certificate.ts";
import { validatePath } from "../../src/identity/chain.ts";
import type { PathQuestion, PathResult } from "../../src/identity/question.ts";
import type { Holder } from "./crafted-certificates.ts";

/** All that a verifier sees of a holder. */
export type Sent = Pick<Holder, "der">;

export function parsed({ der }: Sent): Certificate {
  const certificate = parseCertificate(der);
  if ("malformed" in certificate) throw new Error(certificate.malformed);
  return certificate;
}

/** What may be asked otherwise than for a client, now. */
export type Asked = Partial<Omit<PathQuestion, "leaf" | "intermediates" | "anchors">>;

export const ask = (
  chain: readonly Sent[],
  anchors: readonly Sent[],
  asked: Asked = {},
): Promise<PathResult> => {
  const [first, ...rest] = chain.map(parsed);
  if (first === undefined) throw new Error("an empty chain");
  return validatePath({
    leaf: first,
    intermediates: rest,
    anchors: anchors.map(parsed),
    purpose: "client",
    now: Date.now(),
    ...asked,
  });
};

export async function accepted(chain: readonly Sent[], anchors: readonly Sent[], asked?: Asked) {
  const result = await ask(chain, anchors, asked);
  assert.ok(result.ok, result.ok ? "" : `${result.failure.reason}: ${result.failure.detail}`);
  return result;
}

export async function refused(
  chain: readonly Sent[],
  anchors: readonly Sent[],
  reason: string,
  detail: RegExp,
  asked?: Asked,
): Promise<void> {
  const result = await ask(chain, anchors, asked);
  assert.ok(!result.ok, "it was accepted");
  assert.equal(result.failure.reason, reason, result.failure.detail);
  assert.match(result.failure.detail, detail);
  // Which rule it was, and where that stands; our own bounds stand nowhere.
  assert.match(result.failure.detail, /\((RFC \d+|CA\/B BR|X\.690) §|gave up after|more than \d+ inter/);
}
