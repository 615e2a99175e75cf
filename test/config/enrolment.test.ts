import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { load, problems } from "../support/environment.ts";

const wrong = (
  value: string,
  more: Readonly<Record<string, string>> = { SALLYPORT_AUTHORITY: "ca" },
): string =>
  problems({ SALLYPORT_OIDC_STAFF: value, ...more })
    .map(({ name, message }) => `${name}: ${message}`)
    .join("\n");

const authority = { SALLYPORT_AUTHORITY: "ca" };

describe("the authority's variables", () => {
  it("are off unless set", () => {
    assert.equal(load({}).enrolment, null);
    assert.notEqual(load(authority).enrolment, null);
  });

  it("have bounds", () => {
    const read = load({ ...authority, SALLYPORT_CERTIFICATE_LIFETIME: "30m" }).enrolment;
    assert.equal(read?.lifetimeMs, 1_800_000);
    assert.equal(read?.perSource, 60);
    assert.equal(read?.perIdentity, 10);
    for (const lifetime of ["4m", "25h", "0s", "soon"]) {
      const [problem] = problems({ ...authority, SALLYPORT_CERTIFICATE_LIFETIME: lifetime });
      assert.equal(problem?.name, "SALLYPORT_CERTIFICATE_LIFETIME", lifetime);
    }
  });

  it("know the key of assertions, and say nothing of it where it can't be read", () => {
    const [problem] = problems({ SALLYPORT_JWT_KEY: "MC4CAQ-secret" });
    assert.match(problem?.message ?? "", /can't be read/);
    assert.ok(!problem?.message.includes("secret"));
  });
});

describe("SALLYPORT_OIDC_*", () => {
  it("is an issuer with rules", () => {
    const url =
      "https://login.example.com/realms/acme?client_id=gate&audience=ci,cli&group={groups}&lifetime=1h";
    const [provider] = load({ ...authority, SALLYPORT_OIDC_BIG_CORP: url }).enrolment?.providers ?? [];
    assert.equal(provider?.name, "big-corp");
    assert.equal(provider?.issuer, "https://login.example.com/realms/acme");
    assert.equal(provider?.clientId, "gate");
    assert.deepEqual(provider?.audiences, ["gate", "ci", "cli"]);
    assert.equal(provider?.lifetimeMs, 3_600_000);
    assert.equal(provider?.nonce, "bound");
    assert.equal(provider?.maxAgeMs, 600_000);
  });

  it("must be reached over https, but on this machine", () => {
    for (const issuer of [
      "http://login.test",
      "ftp://login.test",
      "login.test",
      "https://a:b@login.test",
      "x",
    ])
      assert.match(wrong(`${issuer}?client_id=a`), /SALLYPORT_OIDC_STAFF: is no issuer/, issuer);
    for (const issuer of ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9", "https://login.test"])
      assert.equal(wrong(`${issuer}?client_id=a`), "", issuer);
  });

  it("needs somebody whom tokens are for, and an authority", () => {
    assert.match(wrong("https://login.test"), /expected client_id= or audience=/);
    assert.match(wrong("https://login.test?client_id=a", {}), /needs SALLYPORT_AUTHORITY/);
  });

  it("has no parameter that is not understood", () => {
    const refused: readonly (readonly [string, RegExp])[] = [
      ["clientid=b", /unknown parameter clientid=; did you mean client_id/],
      ["toString=b", /unknown parameter toString=/],
      ["client_id=b", /client_id= stands there twice/],
      ["name=", /name= is empty/],
      ["name={", /expected a claim's name/],
      ["name={}", /expected a claim's name/],
      ["require=acme", /expected CLAIM:VALUE/],
      ["require=a:b,c", /expected CLAIM:VALUE/],
      ["nonce=maybe", /bound, required or any/],
      ["max_age=old", /no duration/],
      ["lifetime=48h", /5m to 24h/],
      ["scope=email", /expected openid/],
      ["name=%", /percent-encoding/],
    ];
    for (const [parameter, words] of refused)
      assert.match(wrong(`https://login.test?client_id=a&${parameter}`), words, parameter);
  });

  it("has a name like a route's", () => {
    const [problem] = problems({ ...authority, SALLYPORT_OIDC_x: "https://login.test?client_id=a" });
    assert.match(problem?.message ?? "", /capitals, digits/);
  });
});
