import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { type Certificate, parseCertificate } from "../../src/identity/certificate.ts";
import { validatePath } from "../../src/identity/chain.ts";
import { vectors } from "../support/vectors.ts";

interface Testcase {
  readonly id: string;
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_kind: "SERVER" | "CLIENT";
  readonly validation_time: string | null;
  readonly expected_result: "SUCCESS" | "FAILURE";
}

const limbo = vectors<{ readonly testcases: readonly Testcase[] }>("x509-limbo.json");

/** Cases that we judge otherwise than the suite, by the beginning of their id, and why. */
const accepted: readonly (readonly [prefix: string, why: string])[] = [
  ["crl::", "revocation lists are not read"],
  ["pathlen::max-chain-depth", "the depth can't be chosen"],
  ["rfc5280::aki::", "key identifiers only help to find a path"],
  ["webpki::aki::", "the rules of the web's authorities are not ours"],
  ["webpki::cn::", "the rules of the web's authorities are not ours"],
  ["webpki::eku::", "the rules of the web's authorities are not ours"],
  ["webpki::forbidden-rsa-not-divisible-by-8", "the rules of the web's authorities are not ours"],
  ["webpki::san::", "names of servers are not compared here"],
  ["rfc5280::san::underscore-dns", "hosts with underscores are in use"],
  ["rfc5280::san::ip-in-dns", "a DNS name that looks like an address is no more than a DNS name"],
  [
    "rfc5280::root-non-critical-basic-constraints",
    "common with private authorities, and heeded all the same",
  ],
];
const refused: readonly (readonly [prefix: string, why: string])[] = [
  ["webpki::nc::", "name constraints are not processed, so their authorities are refused"],
  ["rfc5280::nc::", "name constraints are not processed, so their authorities are refused"],
  ["rfc5280::ca-as-leaf", "an authority's certificate is no client's"],
  ["pathlen::validation-ignores-pathlen-in-leaf", "an authority's certificate is no client's"],
  ["rfc5280::validity::notafter-fractional", "the end is the end, to the millisecond"],
];

const parse = (pem: string) => parseCertificate(certificatesFromPem(pem)[0] ?? new Uint8Array(0));
const isCertificate = (one: ReturnType<typeof parse>): one is Certificate => !("malformed" in one);

async function verdict(testcase: Testcase): Promise<Testcase["expected_result"]> {
  const leaf = parse(testcase.peer_certificate);
  const anchors = testcase.trusted_certs.map(parse);
  if (!isCertificate(leaf) || !anchors.every(isCertificate)) return "FAILURE";
  const result = await validatePath({
    leaf,
    anchors,
    intermediates: testcase.untrusted_intermediates.map(parse).filter(isCertificate),
    purpose: testcase.validation_kind === "CLIENT" ? "client" : "server",
    now: testcase.validation_time === null ? Date.now() : Date.parse(testcase.validation_time),
  });
  return result.ok ? "SUCCESS" : "FAILURE";
}

describe("the certificates of x509-limbo", { skip: limbo.skip }, () => {
  const testcases = limbo.data?.testcases ?? [];
  const listed = (id: string, list: typeof accepted): boolean =>
    list.some(([prefix]) => id.startsWith(prefix));

  it("are refused where they must be, but for what is listed here", async () => {
    const wrong: string[] = [];
    for (const testcase of testcases.filter(({ expected_result }) => expected_result === "FAILURE")) {
      if ((await verdict(testcase)) === "SUCCESS" && !listed(testcase.id, accepted)) wrong.push(testcase.id);
    }
    assert.deepEqual(wrong, []);
  });

  it("are accepted where they must be, but for what is listed here", async () => {
    const wrong: string[] = [];
    for (const testcase of testcases.filter(({ expected_result }) => expected_result === "SUCCESS")) {
      if ((await verdict(testcase)) === "FAILURE" && !listed(testcase.id, refused)) wrong.push(testcase.id);
    }
    assert.deepEqual(wrong, []);
  });
});
