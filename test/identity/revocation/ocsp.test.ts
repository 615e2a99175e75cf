import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { certIdOf, ocspRequest, responderOf } from "../../../src/identity/revocation/ocsp-request.ts";
import { judgeOcsp } from "../../../src/identity/revocation/ocsp-verdict.ts";
import {
  basicConstraints,
  extendedKeyUsage,
  extension,
  type Holder,
  hourMs,
  intermediate,
  keyUsage,
  leaf,
  leafExtensions,
  name,
  root,
} from "../../support/crafted-certificates.ts";
import { oid, seq, tlv } from "../../support/der.ts";
import { type Index, OpensslResponder } from "../../support/ocsp-responder.ts";
import { skipWithoutOpenssl } from "../../support/openssl.ts";
import { parsed } from "../../support/paths.ts";

const anchor = root();
const issuer = intermediate(anchor);
// One whose serial number begins with a set bit, which DER writes with an octet before it.
const alice = leaf(issuer, { serial: "00f1a2" });
const bob = leaf(issuer, { serial: "42" });
const delegate = (authority: Holder, ...extensions: Uint8Array[]): Holder =>
  leaf(authority, {
    subject: name(["CN", "Responder"]),
    extensions: [basicConstraints(false), keyUsage("digitalSignature"), ...extensions],
  });
const signing = extendedKeyUsage("ocspSigning");

const responders: OpensslResponder[] = [];
function responder(signer: Holder, index: Index = { f1a2: "good", 42: "revoked" }): OpensslResponder {
  const made = new OpensslResponder(issuer, signer, index);
  responders.push(made);
  return made;
}

async function verdict(from: OpensslResponder, of: Holder, at = Date.now(), asked: Holder = of) {
  const answer = from.answer(ocspRequest(await certIdOf(parsed(asked), parsed(issuer))));
  return judgeOcsp(answer, await certIdOf(parsed(of), parsed(issuer)), parsed(issuer), at);
}
const why = async (...args: Parameters<typeof verdict>): Promise<string> => {
  const found = await verdict(...args);
  return found.status === "failed" ? found.why : found.status;
};

describe("a responder's answer", { skip: skipWithoutOpenssl }, () => {
  after(() => {
    for (const one of responders) one.remove();
  });

  it("by the issuer itself is believed", async () => {
    const own = responder(issuer);
    const good = await verdict(own, alice);
    assert.equal(good.status, "good");
    assert.ok(good.status === "good" && good.until > Date.now() + 4 * 60_000);
    assert.equal((await verdict(own, bob)).status, "revoked");
    assert.equal((await verdict(own, leaf(issuer, { serial: "77" }))).status, "unknown");
  });

  it("by whom the issuer delegated to is believed", async () => {
    assert.equal((await verdict(responder(delegate(issuer, signing)), alice)).status, "good");
  });

  it("by anybody else is not", async () => {
    assert.match(await why(responder(leaf(issuer)), alice), /lacks OCSPSigning/);
    assert.match(await why(responder(delegate(anchor, signing)), alice), /another issuer's/);
    const stranger = intermediate(root(), { subject: issuer.name });
    assert.match(await why(responder(delegate(stranger, signing)), alice), /signature is not/);
    assert.equal((await verdict(responder(stranger), alice)).status, "failed");
    const late = leaf(issuer, {
      notAfter: Date.now() - 1000,
      extensions: [keyUsage("digitalSignature"), signing],
    });
    assert.match(await why(responder(late), alice), /is not valid now/);
    const odd = delegate(issuer, signing, extension("1.3.6.1.4.1.99999.1", tlv(5), true));
    assert.match(await why(responder(odd), alice), /critical extension/);
  });

  it("about another certificate is not", async () => {
    assert.match(await why(responder(issuer), alice, Date.now(), bob), /about another certificate/);
  });

  it("holds from its beginning to its end", async () => {
    const own = responder(issuer);
    assert.match(await why(own, alice, Date.now() - hourMs), /not valid yet/);
    assert.match(await why(own, alice, Date.now() + hourMs), /expired at/);
  });

  it("without an end is not one for ever", async () => {
    const endless = new OpensslResponder(issuer, issuer, { f1a2: "good" }, null);
    responders.push(endless);
    assert.equal(await why(endless, alice), "good");
    assert.match(await why(endless, alice, Date.now() + hourMs), /expired at/);
  });

  it("that is an error, or nothing at all, says so", async () => {
    const id = await certIdOf(parsed(alice), parsed(issuer));
    const judge = async (...bytes: readonly number[]): Promise<string> => {
      const found = await judgeOcsp(Uint8Array.from(bytes), id, parsed(issuer), Date.now());
      return found.status === "failed" ? found.why : found.status;
    };
    assert.match(await judge(0x30, 3, 0x0a, 1, 3), /says tryLater/);
    assert.match(await judge(0x30, 3, 0x0a, 1, 0), /no response in it/);
    assert.match(await judge(), /no OCSP response/);
  });

  it("is never more than it was, whatever is cut or turned", async () => {
    const id = await certIdOf(parsed(bob), parsed(issuer));
    const answer = responder(issuer).answer(ocspRequest(id));
    for (let i = 0; i < answer.length; i++) {
      const turned = Uint8Array.from(answer);
      turned[i] = (turned[i] ?? 0) ^ (1 << (i % 8));
      for (const bytes of [answer.subarray(0, i), turned]) {
        const { status } = await judgeOcsp(bytes, id, parsed(issuer), Date.now());
        assert.ok(status === "failed" || status === "revoked", status);
      }
    }
  });
});

describe("the responder of a certificate", () => {
  const access = (...descriptions: readonly Uint8Array[]) =>
    parsed(
      leaf(issuer, { extensions: [...leafExtensions, extension("1.3.6.1.5.5.7.1.1", seq(...descriptions))] }),
    );
  const at = (method: string, url: string) => seq(oid(method), tlv(0x86, Buffer.from(url, "latin1")));
  const [ocsp, issuers] = ["1.3.6.1.5.5.7.48.1", "1.3.6.1.5.5.7.48.2"];

  it("is the first that speaks HTTP", () => {
    const named = access(
      at(issuers, "http://a/"),
      at(ocsp, "ldap://b/"),
      at(ocsp, "http://c/"),
      at(ocsp, "http://d/"),
    );
    assert.equal(responderOf(named), "http://c/");
  });

  it("may be nobody", () => {
    assert.equal(responderOf(parsed(leaf(issuer))), null);
    assert.equal(responderOf(access(at(ocsp, "http://a b/"))), null);
    assert.equal(responderOf(access(at(ocsp, "file:///etc/passwd"))), null);
  });
});
