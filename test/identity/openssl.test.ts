import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { createClientVerifier } from "../../src/identity/verifier.ts";
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
  nameConstraints,
  newKeys,
  pem,
  type purposes as purposeOids,
  root,
} from "../support/crafted-certificates.ts";
import { opensslAccepts, skipWithoutOpenssl } from "../support/openssl.ts";

type Verdict = "accept" | "refuse";

interface Case {
  readonly what: string;
  readonly chain: readonly Holder[];
  readonly anchor: Holder;
  readonly ours: Verdict;
  /** Where OpenSSL, with its strictest options, judges otherwise. */
  readonly openssl?: Verdict;
}

const now = Date.now();
const past = { notBefore: now - 2 * dayMs, notAfter: now - hourMs };
const future = { notBefore: now + hourMs, notAfter: now + dayMs };
const anchor = root();
const middle = intermediate(anchor);
const issuing = (...more: readonly Uint8Array[]) => ({
  extensions: [basicConstraints(true), keyUsage("keyCertSign", "cRLSign"), ...more],
});

function through(issuer: Holder): Pick<Case, "chain" | "anchor"> {
  return { chain: [leaf(issuer), issuer], anchor };
}
const direct = (client: Holder): Pick<Case, "chain" | "anchor"> => ({ chain: [client], anchor });
const withExtensions = (...extensions: readonly Uint8Array[]) => direct(leaf(anchor, { extensions }));

function cases(): Case[] {
  const flat = root({ extensions: [basicConstraints(true, 0), keyUsage("keyCertSign", "cRLSign")] });
  const belowFlat = intermediate(flat);
  const rsa = root({ keys: newKeys("RSA-2048") });
  const purposes = (...wanted: readonly (keyof typeof purposeOids)[]) =>
    withExtensions(basicConstraints(false), keyUsage("digitalSignature"), extendedKeyUsage(...wanted));
  const ed25519 = root({ keys: newKeys("Ed25519") });
  const expiredRoot = root(past);
  const holder = leaf(anchor);
  return [
    { what: "straight from the root", ...direct(leaf(anchor)), ours: "accept" },
    { what: "through an intermediate", ...through(middle), ours: "accept" },
    { what: "P-384", ...direct(leaf(anchor, { keys: newKeys("P-384") })), ours: "accept" },
    { what: "RSA", chain: [leaf(rsa)], anchor: rsa, ours: "accept" },
    { what: "RSA-PSS", chain: [leaf(rsa, { signature: "pss-sha256" })], anchor: rsa, ours: "accept" },
    { what: "Ed25519", chain: [leaf(ed25519)], anchor: ed25519, ours: "accept" },
    { what: "clientAuth beside serverAuth", ...purposes("clientAuth", "serverAuth"), ours: "accept" },
    { what: "path length 0, none between", chain: [leaf(flat)], anchor: flat, ours: "accept" },
    {
      what: "an intermediate for clients",
      ...through(intermediate(anchor, issuing(extendedKeyUsage("clientAuth")))),
      ours: "accept",
    },
    { what: "expired", ...direct(leaf(anchor, past)), ours: "refuse" },
    { what: "not valid yet", ...direct(leaf(anchor, future)), ours: "refuse" },
    { what: "an expired intermediate", ...through(intermediate(anchor, past)), ours: "refuse" },
    { what: "an expired root", chain: [leaf(expiredRoot)], anchor: expiredRoot, ours: "refuse" },
    { what: "another authority of that name", ...direct(leaf(root())), ours: "refuse" },
    { what: "a bit turned", ...direct(leaf(anchor, { tampered: true })), ours: "refuse" },
    { what: "two algorithms", ...direct(leaf(anchor, { outer: "ecdsa-sha384" })), ours: "refuse" },
    { what: "for servers alone", ...purposes("serverAuth"), ours: "refuse" },
    { what: "issued by a leaf", chain: [leaf(holder), holder], anchor, ours: "refuse" },
    {
      what: "path length 0, one between",
      chain: [leaf(belowFlat), belowFlat],
      anchor: flat,
      ours: "refuse",
    },
    {
      what: "an issuer without keyCertSign",
      ...through(intermediate(anchor, { extensions: [basicConstraints(true), keyUsage("cRLSign")] })),
      ours: "refuse",
    },
    {
      what: "an intermediate for servers",
      ...through(intermediate(anchor, issuing(extendedKeyUsage("serverAuth")))),
      ours: "refuse",
    },
    {
      what: "an unknown critical extension",
      ...withExtensions(...leafExtensions, extension("1.3.6.1.4.1.99999.1", Uint8Array.of(5, 0), true)),
      ours: "refuse",
    },
    {
      what: "a name constraint that excludes nothing here",
      ...through(intermediate(anchor, issuing(nameConstraints("example.com", true)))),
      ours: "accept",
    },
    {
      what: "a leaf that is an authority",
      ...withExtensions(
        basicConstraints(true),
        keyUsage("digitalSignature", "keyCertSign"),
        extendedKeyUsage("clientAuth"),
      ),
      ours: "refuse",
      openssl: "accept",
    },
    {
      what: "for no purpose in particular",
      ...withExtensions(basicConstraints(false), keyUsage("digitalSignature")),
      ours: "refuse",
      openssl: "accept",
    },
    {
      what: "a weak key",
      ...direct(leaf(anchor, { keys: newKeys("RSA-1024") })),
      ours: "refuse",
      openssl: "accept",
    },
    {
      what: "SHA-1",
      chain: [leaf(rsa, { signature: "rsa-sha1" })],
      anchor: rsa,
      ours: "refuse",
      openssl: "accept",
    },
  ];
}

describe("openssl verify -purpose sslclient -x509_strict", { skip: skipWithoutOpenssl }, () => {
  const opensslSays = ({ chain, anchor: trusted }: Case): Verdict => {
    const [client, ...rest] = chain.map(({ der }) => der);
    if (client === undefined) throw new Error("an empty chain");
    const others = rest.length === 0 ? {} : { intermediates: pem(...rest) };
    const question = { purpose: "sslclient", anchor: pem(trusted.der), leaf: pem(client) } as const;
    return opensslAccepts({ ...question, ...others }) ? "accept" : "refuse";
  };

  const weSay = async ({ chain, anchor: trusted }: Case): Promise<Verdict> => {
    const [client, ...rest] = chain.map(({ der }) => der);
    if (client === undefined) throw new Error("an empty chain");
    const presented = { leaf: client, chain: () => [client, ...rest] };
    return createClientVerifier([trusted.der])
      .verify(presented, Date.now())
      .then(
        () => "accept" as const,
        () => "refuse" as const,
      );
  };

  for (const one of skipWithoutOpenssl === false ? cases() : []) {
    const differs = one.openssl !== undefined;
    it(`${differs ? "is more lenient than we are" : `says ${one.ours} as we do`}: ${one.what}`, async () => {
      assert.equal(await weSay(one), one.ours, "ours");
      assert.equal(opensslSays(one), one.openssl ?? one.ours, "openssl's");
    });
  }

  it("writes a subject as we do", async () => {
    const subject = name(
      ["C", "CH"],
      ["O", 'Ex, "ample" + Söhne; <x>'],
      ["OU", "#1"],
      ["CN", " a\\b "],
      ["emailAddress", "a@b.c"],
    );
    const client = leaf(anchor, { subject });
    const presented = { leaf: client.der, chain: () => [client.der] };
    const { identity } = await createClientVerifier([anchor.der]).verify(presented, Date.now());
    const args = ["x509", "-noout", "-subject", "-nameopt", "RFC2253,-esc_msb,utf8"];
    const printed = execFileSync("openssl", args, { encoding: "utf8", input: pem(client.der) });
    assert.equal(`subject=${identity.subject}\n`, printed);
  });
});
