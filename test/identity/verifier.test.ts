import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { Refusal } from "../../src/errors.ts";
import type { PathFailure } from "../../src/identity/question.ts";
import type { Revocation } from "../../src/identity/revocation/revocation.ts";
import { createClientVerifier, type Presented } from "../../src/identity/verifier.ts";
import {
  extension,
  type Holder,
  hourMs,
  intermediate,
  leaf,
  leafExtensions,
  name,
  root,
} from "../support/crafted-certificates.ts";

const anchor = root();
const middle = intermediate(anchor);
const now = Math.floor(Date.now() / 1000) * 1000;

function presented(...chain: readonly Holder[]): Presented & { asked: number } {
  const ders = chain.map(({ der }) => der);
  const made = {
    leaf: ders[0] ?? new Uint8Array(0),
    asked: 0,
    chain: () => {
      made.asked++;
      return ders;
    },
  };
  return made;
}

const refusal = (reason: string, detail: RegExp) => (error: unknown) =>
  error instanceof Refusal && error.reason === reason && detail.test(error.message);

describe("a client verifier", () => {
  it("tells who it is, from the certificate itself", async () => {
    const client = leaf(middle, { serial: "00c0ffee" });
    const { identity, certificate } = await createClientVerifier([anchor.der]).verify(
      presented(client, middle),
      now,
    );
    assert.equal(identity.subject, "CN=alice,OU=payments,O=Example");
    assert.equal(identity.serial, "c0ffee");
    assert.equal(identity.fingerprint, createHash("sha256").update(client.der).digest("hex"));
    assert.equal(identity.keyFingerprint, createHash("sha256").update(client.keys.spki).digest("hex"));
    assert.deepEqual(Buffer.from(certificate), Buffer.from(client.der));
  });

  it("refuses with the reason of the record, and words that name certificate and rule", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const verify = (...chain: readonly Holder[]) => verifier.verify(presented(...chain), now);
    await assert.rejects(verify(leaf(root())), refusal("client_cert_untrusted", /CN=alice/));
    await assert.rejects(
      verify(leaf(anchor, { notAfter: now - 1000 })),
      refusal("client_cert_expired", /CN=alice/),
    );
    await assert.rejects(verify(leaf(anchor, { extensions: [] })), refusal("client_cert_unfit", /RFC 5280/));
  });

  it("refuses what is no certificate", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const good = leaf(anchor).der;
    for (const junk of [
      new Uint8Array(0),
      Uint8Array.of(0x30, 0),
      good.subarray(1),
      Uint8Array.of(...good, 0),
    ]) {
      const sent = { leaf: junk, chain: () => [junk] };
      await assert.rejects(verifier.verify(sent, now), refusal("client_cert_unfit", /malformed/));
    }
  });

  it("throws at once where an anchor can't be read", () => {
    assert.throws(() => createClientVerifier([Uint8Array.of(1, 2, 3)]), /trust anchor/);
  });

  it("knows a certificate again without its chain", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const client = leaf(middle);
    const first = await verifier.verify(presented(client, middle), now);
    const again = presented(client);
    assert.equal(await verifier.verify(again, now), first);
    assert.equal(again.asked, 0);
  });

  it("knows nothing of a certificate that differs in one octet only", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const client = leaf(anchor);
    await verifier.verify(presented(client), now);
    for (const at of [30, client.der.length - 1]) {
      const forged = Uint8Array.from(client.der);
      forged[at] = (forged[at] ?? 0) ^ 0x80;
      await assert.rejects(verifier.verify({ leaf: forged, chain: () => [forged] }, now), Refusal);
    }
  });

  it("has a key for its cache in which no two octets are alike", () => {
    const text = new TextDecoder("latin1").decode(Uint8Array.from({ length: 256 }, (_, i) => i));
    assert.equal(new Set(text).size, 256);
  });

  it("says at once whom it knows, whoever came last, and nobody else", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const clients = [leaf(anchor), leaf(anchor, { notAfter: now + hourMs })];
    for (const { der } of clients) assert.equal(verifier.known(der, now), null);
    const found = await Promise.all(clients.map((one) => verifier.verify(presented(one), now)));
    for (const i of [0, 0, 1, 1, 0])
      assert.equal(verifier.known(clients[i]?.der ?? anchor.der, now), found[i]);
    for (const { der } of clients) {
      for (const at of [30, der.length - 1]) {
        assert.notEqual(verifier.known(der, now), null);
        const forged = Uint8Array.from(der);
        forged[at] = (forged[at] ?? 0) ^ 0x80;
        assert.equal(verifier.known(forged, now), null);
        assert.equal(verifier.known(Uint8Array.of(...der, 0), now), null);
        assert.equal(verifier.known(der.subarray(0, -1), now), null);
      }
    }
    assert.equal(verifier.known(clients[1]?.der ?? anchor.der, now + hourMs + 1000), null);
    assert.equal(verifier.known(clients[0]?.der ?? anchor.der, 0), null);
  });

  it("does not say at once who may have been revoked since", async () => {
    const revocation: Revocation & { state: object; failure: PathFailure | null } = {
      state: {},
      failure: null,
      check: async () => ({ failure: revocation.failure, until: now + hourMs }),
    };
    const verifier = createClientVerifier([anchor.der], { revocation });
    const client = leaf(anchor);
    const found = await verifier.verify(presented(client), now);
    assert.equal(verifier.known(client.der, now), found);
    assert.equal(verifier.known(client.der, now + hourMs + 1), null);
    revocation.state = {};
    assert.equal(verifier.known(client.der, now), null);
    assert.equal(await verifier.verify(presented(client), now), found);
    assert.equal(verifier.known(client.der, now), found);
    revocation.state = {};
    revocation.failure = { reason: "client_cert_revoked", detail: "revoked" };
    await assert.rejects(verifier.verify(presented(client), now), refusal("client_cert_revoked", /revoked/));
    assert.equal(verifier.known(client.der, now), null);
  });

  it("does not hand one set of anchors' verdict to another", async () => {
    const client = leaf(anchor);
    await createClientVerifier([anchor.der]).verify(presented(client), now);
    const other = createClientVerifier([root({ subject: name(["CN", "Other"]) }).der]);
    await assert.rejects(other.verify(presented(client), now), refusal("client_cert_untrusted", /no path/));
  });

  it("forgets a certificate the moment it expires", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const client = leaf(anchor, { notAfter: now + hourMs });
    await verifier.verify(presented(client), now);
    await verifier.verify(presented(client), now + hourMs + 999);
    await assert.rejects(
      verifier.verify(presented(client), now + hourMs + 1000),
      refusal("client_cert_expired", /expired at/),
    );
  });

  it("does not outlive the shortest-lived certificate of the path", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const short = intermediate(anchor, { notAfter: now + hourMs });
    const client = leaf(short);
    const { notAfter } = await verifier.verify(presented(client, short), now);
    assert.equal(notAfter, now + hourMs + 999);
    await assert.rejects(
      verifier.verify(presented(client, short), now + hourMs + 1000),
      refusal("client_cert_expired", /Test Intermediate/),
    );
  });

  it("accepts a known certificate by a new path when the old one expired", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const short = intermediate(anchor, { notAfter: now + hourMs });
    const renewed = intermediate(anchor, { keys: short.keys });
    const client = leaf(short);
    await verifier.verify(presented(client, short), now);
    await verifier.verify(presented(client, renewed), now + hourMs + 1000);
  });

  it("looks at the beginning too, should the clock be put back", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const client = leaf(anchor, { notBefore: now });
    await verifier.verify(presented(client), now);
    await assert.rejects(
      verifier.verify(presented(client), now - 1),
      refusal("client_cert_expired", /not valid before/),
    );
  });

  it("finds the way for a leaf alone through intermediates that it verified before", async () => {
    const verifier = createClientVerifier([anchor.der]);
    await assert.rejects(
      verifier.verify(presented(leaf(middle)), now),
      refusal("client_cert_untrusted", /no path/),
    );
    await verifier.verify(presented(leaf(middle), middle), now);
    await verifier.verify(presented(leaf(middle)), now);
  });

  it("remembers no intermediate that did not lead to an anchor", async () => {
    const own = root({ subject: name(["CN", "Own"]) });
    const poison = intermediate(own, { subject: middle.name });
    const verifier = createClientVerifier([anchor.der]);
    await assert.rejects(verifier.verify(presented(leaf(poison), poison, own), now), Refusal);
    await verifier.verify(presented(leaf(middle), poison, own, middle), now);
    await assert.rejects(verifier.verify(presented(leaf(poison)), now), Refusal);
  });

  it("is not made to forget by intermediates that lead nowhere", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const own = root({ subject: name(["CN", "Own"]) });
    const other = intermediate(anchor, { subject: name(["CN", "Other Intermediate"]) });
    await verifier.verify(presented(leaf(other), other), now);
    for (let i = 0; i < 30; i++) {
      const useless = Array.from({ length: 14 }, () => intermediate(own, { keys: own.keys }));
      await verifier.verify(presented(leaf(middle), middle, ...useless), now);
    }
    await verifier.verify(presented(leaf(other)), now);
  });

  it("keeps its verdict when the caller's buffer is used again", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const buffer = Uint8Array.from(middle.der);
    const client = leaf(middle);
    const { certificate } = await verifier.verify(
      { leaf: client.der, chain: () => [client.der, buffer] },
      now,
    );
    const before = Buffer.from(certificate).toString("hex");
    buffer.fill(0);
    await verifier.verify(presented(leaf(middle)), now);
    assert.equal(Buffer.from(certificate).toString("hex"), before);
  });

  it("finds the right one behind a hundred that are of no use", async () => {
    const useless = new Array<Holder>(100).fill(intermediate(root({ subject: name(["CN", "Stranger"]) })));
    const verifier = createClientVerifier([anchor.der]);
    const { path } = await verifier.verify(presented(leaf(middle), ...useless, middle), now);
    assert.equal(path.length, 3);
  });

  it("gets over broken certificates beside a good path", async () => {
    const client = leaf(middle);
    const chain = [client.der, Uint8Array.of(0x30, 1), middle.der];
    await createClientVerifier([anchor.der]).verify({ leaf: client.der, chain: () => chain }, now);
  });

  it("verifies the same certificate many times at once", async () => {
    const verifier = createClientVerifier([anchor.der]);
    const client = leaf(middle);
    const all = await Promise.all(
      Array.from({ length: 20 }, () => verifier.verify(presented(client, middle), now)),
    );
    assert.deepEqual(new Set(all.map(({ identity }) => identity.fingerprint)).size, 1);
  });

  it("refuses the largest certificate there can be without effort", async () => {
    const big = leaf(anchor, {
      extensions: [...leafExtensions, extension("1.3.6.1.4.1.99999.1", new Uint8Array(70_000))],
    });
    await assert.rejects(
      createClientVerifier([anchor.der]).verify(presented(big), now),
      refusal("client_cert_unfit", /longer than 65536 bytes/),
    );
  });
});
