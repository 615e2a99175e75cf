import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Certificate, parseCertificate } from "../../src/identity/certificate.ts";
import { validatePath } from "../../src/identity/chain.ts";
import {
  basicConstraints,
  dayMs,
  extendedKeyUsage,
  extension,
  type Holder,
  hourMs,
  intermediate,
  keyUsage,
  leaf,
  leafExtensions,
  name,
  newKeys,
  pem,
  root,
  subjectAltName,
} from "../support/crafted-certificates.ts";
import {
  alternativeNames,
  constraints,
  generalName,
  inhibitAnyPolicy,
  policies,
  policyConstraints,
} from "../support/crafted-extensions.ts";
import { goVerdicts, skipWithoutGo } from "../support/go.ts";
import { opensslAccepts, skipWithoutOpenssl } from "../support/openssl.ts";

const anchor = root();
const now = Date.now();
const { dns, email, uri, ip } = generalName;

/** Chains of one intermediate, DER. */
interface Chain {
  readonly leaf: Uint8Array;
  readonly middle: Uint8Array;
}

/** Whether the verifier accepts a chain; whatever it is, it does not throw. */
async function accepts({ leaf: der, middle }: Chain): Promise<boolean> {
  const [first, second] = [parseCertificate(der), parseCertificate(middle)];
  if ("malformed" in first) return false;
  const readable: Certificate[] = "malformed" in second ? [] : [second];
  const result = await validatePath({
    leaf: first,
    intermediates: readable,
    anchors: [parseCertificate(anchor.der) as Certificate],
    purpose: "client",
    now,
  });
  return result.ok;
}

const sample = <T>(arbitrary: fc.Arbitrary<T>, count: number): T[] =>
  fc.sample(arbitrary, { seed: 5280, numRuns: count });

/** Certificates that are signed as they should be, whatever stands in them. */
const unknown = (critical: boolean) => extension("1.3.6.1.4.1.99999.1", Uint8Array.of(5, 0), critical);
const some = (...choices: readonly (readonly Uint8Array[])[]) => fc.constantFrom(...choices);
const times = fc.constantFrom(
  {},
  {},
  {},
  { notAfter: now - hourMs },
  { notBefore: now + hourMs },
  { notAfter: now + 20_000 * dayMs },
);
const serials = fc.constantFrom(undefined, undefined, undefined, "00", "ff", `01${"00".repeat(20)}`, "7f");
const leafPlan = fc
  .tuple(
    some(
      [basicConstraints(false)],
      [],
      [basicConstraints(true)],
      [basicConstraints(false, undefined, false)],
    ),
    some(
      [keyUsage("digitalSignature")],
      [],
      [keyUsage("keyEncipherment")],
      [keyUsage("digitalSignature", "keyCertSign")],
    ),
    some(
      [extendedKeyUsage("clientAuth")],
      [extendedKeyUsage("clientAuth", "serverAuth")],
      [],
      [extendedKeyUsage("any")],
      [extendedKeyUsage("serverAuth")],
    ),
    some(
      [],
      [],
      [subjectAltName({ dns: ["a.example.com"] })],
      [alternativeNames(dns("b.example.org"), email("x@example.com"))],
      [alternativeNames(uri("spiffe://example.com/x"))],
      [alternativeNames(ip(10, 0, 0, 1))],
      [alternativeNames(ip(10, 0, 0))],
      [alternativeNames(dns("a..b"))],
    ),
    some(
      [],
      [],
      [],
      [unknown(true)],
      [unknown(false)],
      [policies("1.2.3.4")],
      [basicConstraints(false)],
      [constraints({ permitted: [dns("x")] })],
    ),
    times,
    serials,
    fc.constantFrom(name(["O", "Example"], ["CN", "x"]), name(), name(["CN", "Test Intermediate"])),
  )
  .map(([a, b, c, d, e, time, serial, subject]) => ({
    ...time,
    ...(serial === undefined ? {} : { serial }),
    subject,
    extensions: [...a, ...b, ...c, ...d, ...e],
  }));
const middlePlan = fc
  .tuple(
    some(
      [basicConstraints(true)],
      [basicConstraints(true)],
      [basicConstraints(true, 0)],
      [basicConstraints(false)],
      [],
      [basicConstraints(true, undefined, false)],
    ),
    some([keyUsage("keyCertSign")], [keyUsage("keyCertSign", "cRLSign")], [], [keyUsage("digitalSignature")]),
    some(
      [],
      [],
      [extendedKeyUsage("clientAuth")],
      [extendedKeyUsage("serverAuth")],
      [extendedKeyUsage("any")],
    ),
    some(
      [],
      [],
      [],
      [constraints({ permitted: [dns("example.com")] })],
      [constraints({ excluded: [dns("example.com")] })],
      [constraints({ permitted: [email("example.com"), uri("example.com")] })],
      [constraints({ permitted: [ip(10, 0, 0, 0, 255, 0, 0, 0)] }, false)],
    ),
    some(
      [],
      [],
      [],
      [policies("1.2.3.4"), policyConstraints(0)],
      [policyConstraints(0)],
      [policies("2.5.29.32.0"), inhibitAnyPolicy(0)],
      [unknown(true)],
    ),
    times,
    serials,
  )
  .map(([a, b, c, d, e, time, serial]) => ({
    ...time,
    ...(serial === undefined ? {} : { serial }),
    extensions: [...a, ...b, ...c, ...d, ...e],
  }));

const keys = { middle: newKeys(), leaf: newKeys() };
const good: { middle: Holder; leaf: Holder } = (() => {
  const middle = intermediate(anchor, { keys: keys.middle });
  return {
    middle,
    leaf: leaf(middle, {
      keys: keys.leaf,
      extensions: [...leafExtensions, subjectAltName({ dns: ["a.example.com"] })],
    }),
  };
})();

/** Good ones with something wrong in their octets. */
const mutation = fc.record({
  which: fc.constantFrom("leaf", "middle"),
  how: fc.constantFrom("flip", "set", "cut", "double", "swap"),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  value: fc.nat(255),
});

function mutated(der: Uint8Array, how: string, at: number, value: number): Uint8Array {
  const i = Math.min(der.length - 1, Math.floor(at * der.length));
  const copy = Uint8Array.from(der);
  if (how === "flip") copy[i] = (copy[i] ?? 0) ^ (1 << (value % 8));
  else if (how === "set") copy[i] = value;
  else if (how === "cut") return der.subarray(0, i);
  else if (how === "double")
    return Uint8Array.from([...der.subarray(0, i), ...der.subarray(Math.max(0, i - 8))]);
  else [copy[i], copy[value % der.length]] = [der[value % der.length] ?? 0, der[i] ?? 0];
  return copy;
}

const chains: Chain[] = [
  ...sample(fc.tuple(leafPlan, middlePlan), 1500).map(([leafOf, middleOf]) => {
    const middle = intermediate(anchor, { ...middleOf, keys: keys.middle });
    return { leaf: leaf(middle, { ...leafOf, keys: keys.leaf }).der, middle: middle.der };
  }),
  // Most plans have something wrong with them; these have not more than one thing.
  ...sample(leafPlan, 300).map((plan) => ({
    leaf: leaf(good.middle, { ...plan, keys: keys.leaf }).der,
    middle: good.middle.der,
  })),
  ...sample(mutation, 3000).map(({ which, how, at, value }) => ({
    leaf: which === "leaf" ? mutated(good.leaf.der, how, at, value) : good.leaf.der,
    middle: which === "middle" ? mutated(good.middle.der, how, at, value) : good.middle.der,
  })),
];

/** Go processes no limits on policies, and so refuses whoever has them; we do process them. */
function limitsPolicies({ middle }: Chain): boolean {
  const certificate = parseCertificate(middle);
  if ("malformed" in certificate) return false;
  const { requireExplicit, inhibitMapping, inhibitAny } = certificate.policies;
  return requireExplicit !== null || inhibitMapping !== null || inhibitAny !== null;
}

describe("chains that are odd in every way", () => {
  let accepted: Chain[] = [];

  it("are accepted or refused, and nothing else", async () => {
    for (const chain of chains) if (await accepts(chain)) accepted.push(chain);
    assert.ok(accepted.length > 20, `${accepted.length} were accepted`);
    assert.ok(accepted.length < chains.length / 2);
  });

  it("are not accepted where Go refuses", { skip: skipWithoutGo }, () => {
    const asked = accepted.filter((chain) => !limitsPolicies(chain));
    const verdicts = goVerdicts(
      asked.map(({ leaf: one, middle }) => ({ roots: [anchor.der], intermediates: [middle], leaf: one })),
    );
    const wrong = verdicts.filter((words) => words !== null);
    assert.deepEqual([...new Set(wrong)], []);
  });

  it("are not accepted where OpenSSL refuses", { skip: skipWithoutOpenssl }, () => {
    // Each takes a process: a part will do.
    accepted = accepted.filter((_, i) => i % Math.ceil(accepted.length / 60) === 0);
    const wrong = accepted.filter(
      ({ leaf: one, middle }) =>
        !opensslAccepts({
          purpose: "sslclient",
          anchor: pem(anchor.der),
          leaf: pem(one),
          intermediates: pem(middle),
        }),
    );
    assert.deepEqual(
      wrong.map(({ leaf: one }) => pem(one)),
      [],
    );
  });
});
