import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeJwt, jwtVerify } from "jose";
import { Assertions } from "../../src/core/assertions.ts";
import { GeneratedKeys } from "../../src/identity/assertion-key.ts";
import type { Identity } from "../../src/identity/identity.ts";

const now = 1_800_000_000_000;
const alice: Identity = {
  subject: "CN=alice",
  commonName: "alice",
  organizations: [],
  organizationalUnits: [],
  dnsNames: [],
  emails: [],
  uris: [],
  ips: [],
  spiffe: null,
  groups: ["payments"],
  sources: null,
  routes: null,
  serial: "01",
  fingerprint: "aa",
  expires: new Date(now + 3_600_000).toISOString(),
};
const upstream = ["http://10.0.3.7:8080"];

describe("assertions", () => {
  it("are signed for one upstream, for a minute", async () => {
    const keys = new GeneratedKeys(now);
    const token = await new Assertions(keys, "https://gate.test").about(alice, upstream, now);
    const { key } = { key: (await keys.published(now)).keys[0] ?? {} };
    const { payload, protectedHeader } = await jwtVerify(token ?? "", key, { currentDate: new Date(now) });
    const { jti, ...claims } = payload;
    assert.match(jti ?? "", /^[0-9a-f-]{36}$/);
    assert.deepEqual(claims, {
      iss: "https://gate.test",
      aud: "http://10.0.3.7:8080",
      sub: "CN=alice",
      iat: now / 1000,
      exp: now / 1000 + 60,
      subject: "CN=alice",
      spiffe: null,
      groups: ["payments"],
      serial: "01",
      fingerprint: "aa",
      expires: alice.expires,
    });
    assert.deepEqual([protectedHeader.alg, protectedHeader.kid], ["ES256", (key as { kid?: string }).kid]);
  });

  it("are signed anew once there are other keys: what those before signed nobody can check any more", async () => {
    const [before, after] = [new GeneratedKeys(now), new GeneratedKeys(now)];
    const assertions = new Assertions(before, "https://gate.test");
    const old = await assertions.about(alice, upstream, now);
    assertions.replace(before, "https://gate.test");
    assert.equal(await assertions.about(alice, upstream, now), old, "the same keys");
    assertions.replace(after, "https://other.test");
    const token = await assertions.about(alice, upstream, now);
    const [key = {}] = (await assertions.published(now)).keys;
    const { payload } = await jwtVerify(token ?? "", key, { currentDate: new Date(now) });
    assert.equal(payload.iss, "https://other.test");
    await assert.rejects(jwtVerify(old ?? "", key, { currentDate: new Date(now) }));
  });

  it("end with the certificate, and there are none after it", async () => {
    const assertions = new Assertions(new GeneratedKeys(now), "https://gate.test");
    const until = (ms: number): Identity => ({ ...alice, expires: new Date(now + ms).toISOString() });
    const token = await assertions.about(until(5_500), upstream, now);
    assert.equal(decodeJwt(token ?? "").exp, now / 1000 + 5);
    assert.equal(await assertions.about(until(5_500), upstream, now + 5_000), null);
    for (const ms of [0, 999, -1000]) assert.equal(await assertions.about(until(ms), upstream, now), null);
    assert.equal(await assertions.about({ ...alice, expires: "never" }, upstream, now), null);
  });

  it("are signed once for many requests, for one identity and one upstream each", async () => {
    const generated = new GeneratedKeys(now);
    let signed = 0;
    const assertions = new Assertions(
      {
        signing: (at) => {
          signed++;
          return generated.signing(at);
        },
        published: (at) => generated.published(at),
      },
      "https://gate.test",
    );
    const many = await Promise.all(Array.from({ length: 50 }, () => assertions.about(alice, upstream, now)));
    assert.equal(new Set(many).size, 1);
    assert.equal(await assertions.about(alice, upstream, now + 9_999), many[0]);
    assert.equal(signed, 1);
    assert.notEqual(await assertions.about(alice, upstream, now + 10_000), many[0]);
    const bob = await assertions.about({ ...alice, subject: "CN=bob", fingerprint: "cc" }, upstream, now);
    assert.equal(decodeJwt(bob ?? "").sub, "CN=bob");
    const two = await assertions.about(alice, ["http://a", "http://b"], now);
    assert.deepEqual(decodeJwt(two ?? "").aud, ["http://a", "http://b"]);
    assert.equal(signed, 4);
  });

  it("are tried again where signing failed", async () => {
    const generated = new GeneratedKeys(now);
    let fails = true;
    const assertions = new Assertions(
      {
        signing: async (at) => {
          if (fails) throw new Error("no key");
          return generated.signing(at);
        },
        published: (at) => generated.published(at),
      },
      "https://gate.test",
    );
    await assert.rejects(assertions.about(alice, upstream, now), /no key/);
    fails = false;
    assert.ok((await assertions.about(alice, upstream, now)) !== null);
  });
});
