import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseProvider } from "../../src/config/provider-url.ts";
import { personFrom } from "../../src/enrolment/claims.ts";
import { EnrolmentRefusal } from "../../src/enrolment/refusal.ts";

const from = (parameters: string, claims: Readonly<Record<string, unknown>>) => {
  const read = parseProvider(
    "SALLYPORT_OIDC_X",
    "x",
    `https://login.test?audience=a&${parameters}`,
    {
      lifetimeMs: 3_600_000,
      renewalSpanMs: 0,
    },
    {},
  );
  if ("message" in read) throw new Error(read.message);
  return personFrom(read, claims);
};

const refused = (words: RegExp) => (error: unknown) =>
  error instanceof EnrolmentRefusal && error.reason === "identity_not_allowed" && words.test(error.message);

describe("claims", () => {
  it("become a name, groups, addresses and URIs by templates", () => {
    const claims = {
      sub: "42",
      email: "alice@example.com",
      email_verified: true,
      groups: ["a", "b"],
      realm_access: { roles: ["ops"] },
      "https://example.com/team": "blue",
    };
    const rules =
      "group=sso:{groups}&group={realm_access.roles}&group={https://example.com/team}&org=Example";
    assert.deepEqual(from(`${rules}&email={email}&uri=spiffe://example.com/user/{sub}`, claims), {
      commonName: "alice@example.com",
      organization: "Example",
      groups: ["sso:a", "sso:b", "ops", "blue"],
      emails: ["alice@example.com"],
      dnsNames: [],
      uris: ["spiffe://example.com/user/42"],
    });
  });

  it("without the name make nobody", () => {
    for (const claims of [{}, { name: null }, { name: {} }, { name: [{}] }, { name: ["a", "b"] }])
      assert.throws(() => from("name={name}", claims), refused(/name/), JSON.stringify(claims));
  });

  it("name no inherited property", () => {
    for (const claim of ["constructor", "toString", "__proto__", "groups.length"])
      assert.throws(() => from(`name={${claim}}`, { groups: ["a"] }), refused(/no claim/), claim);
  });

  it("without groups make somebody in none", () => {
    assert.deepEqual(from("name={sub}&group={groups}&group=staff", { sub: "1" }).groups, ["staff"]);
    assert.deepEqual(from("name={sub}&group={groups}", { sub: "1", groups: [] }).groups, []);
  });

  it("with more groups than can be are refused, not cut", () => {
    const groups = Array.from({ length: 65 }, (_, i) => `g${i}`);
    assert.throws(() => from("name={sub}&group={groups}", { sub: "1", groups }), refused(/64 groups/));
  });

  it("make those groups alone that are taken", () => {
    const groups = [
      ...Array.from({ length: 500 }, (_, i) => `g${i}`),
      "gate-ops",
      "gate-ops/eu",
      "x".repeat(99),
    ];
    const rules = "name={sub}&group={groups}&group=staff&group_match=gate-*&group_match=staff";
    assert.deepEqual(from(rules, { sub: "1", groups }).groups, ["gate-ops", "staff"]);
    assert.throws(
      () => from(rules, { sub: "1", groups: Array.from({ length: 2000 }, (_, i) => `${i}`) }).groups,
      refused(/too many/),
    );
  });

  it("count an email only once it is verified", () => {
    for (const more of [{}, { email_verified: false }, { email_verified: "yes" }, { email_verified: 1 }])
      assert.throws(
        () => from("scope=openid", { email: "a@b.test", ...more }),
        refused(/not verified/),
        JSON.stringify(more),
      );
    // In a condition and within another claim as well.
    for (const rules of [
      "name={sub}&require=email:*@b.test",
      "name={sub}&group={user.email}",
      "name={mail}",
    ]) {
      const claims = { sub: "1", email: "a@b.test", mail: "a@b.test", user: { email: "a@b.test" } };
      assert.throws(() => from(rules, claims), refused(/not verified/), rules);
      from(rules, { ...claims, email_verified: true });
    }
    assert.equal(from("scope=openid", { email: "a@b.test", email_verified: "true" }).commonName, "a@b.test");
  });

  it("stay within their segment of a URI", () => {
    const uri = "name={sub}&uri=spiffe://example.com/ci/{repository}";
    for (const repository of ["acme/app", "..", ".", "", "a b", "a?b", "a%2fb", "ü"])
      assert.throws(() => from(uri, { sub: "1", repository }), refused(/segment/), repository);
    const path = uri.replace("{repository}", "{+repository}");
    for (const repository of ["acme/../root", "acme//app", "/acme", "acme/app?x"])
      assert.throws(() => from(path, { sub: "1", repository }), refused(/segment/), repository);
    assert.deepEqual(from(path, { sub: "1", repository: "acme/app" }).uris, [
      "spiffe://example.com/ci/acme/app",
    ]);
  });

  it("must meet the conditions: all of one require, any of several", () => {
    const rules = "name={sub}&require=owner:acme,ref:refs/heads/*&require=admin:true";
    const admits = (claims: Readonly<Record<string, unknown>>): boolean => {
      try {
        return from(rules, { sub: "1", ...claims }).commonName === "1";
      } catch (error) {
        assert.ok(refused(/no require= rule/)(error));
        return false;
      }
    };
    assert.ok(admits({ owner: "acme", ref: "refs/heads/main" }));
    assert.ok(admits({ owner: ["other", "acme"], ref: "refs/heads/main" }));
    assert.ok(admits({ admin: true }));
    assert.ok(!admits({ owner: "acme" }));
    assert.ok(!admits({ owner: "acme2", ref: "refs/heads/main" }));
    assert.ok(!admits({ owner: "acme", ref: "refs/heads/main/evil" }));
    assert.ok(!admits({ owner: "acme", ref: "x/refs/heads/main" }));
    assert.ok(!admits({ admin: { true: true } }));
    assert.ok(!admits({}));
  });
});
