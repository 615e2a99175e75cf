import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Identity } from "../../src/identity/identity.ts";
import { type AllowRule, admittedBy, parseAllow } from "../../src/identity/policy.ts";

const nobody: Identity = {
  subject: "",
  commonName: null,
  organizations: [],
  organizationalUnits: [],
  dnsNames: [],
  emails: [],
  uris: [],
  ips: [],
  spiffe: null,
  groups: [],
  sources: null,
  routes: null,
  serial: "01",
  fingerprint: "",
  expires: "2030-01-01T00:00:00.000Z",
};

function rule(text: string): AllowRule {
  const parsed = parseAllow(text);
  if ("problem" in parsed) throw new Error(parsed.problem);
  return parsed;
}

const admits = (text: string, identity: Partial<Identity>): boolean =>
  admittedBy([rule(text)], { ...nobody, ...identity }) !== null;

const spiffe = (id: string): Partial<Identity> => ({ uris: [id], spiffe: id });

describe("allow", () => {
  it("looks at every kind of value", () => {
    assert.ok(admits("cn:alice", { commonName: "alice" }));
    assert.ok(admits("o:Example", { organizations: ["Other", "Example"] }));
    assert.ok(admits("ou:payments", { organizationalUnits: ["payments"] }));
    assert.ok(admits("dns:a.example.com", { dnsNames: ["a.example.com"] }));
    assert.ok(admits("email:alice@example.com", { emails: ["alice@example.com"] }));
    assert.ok(admits("uri:https://example.com/a", { uris: ["https://example.com/a"] }));
    assert.ok(admits("group:payments", { groups: ["payments"] }));
  });

  it("does not take one kind of value for another", () => {
    assert.ok(!admits("cn:payments", { groups: ["payments"], organizations: ["payments"] }));
    assert.ok(!admits("group:alice", { commonName: "alice" }));
    assert.ok(!admits("dns:alice", { commonName: "alice", emails: ["alice"] }));
  });

  it("compares whole values", () => {
    assert.ok(!admits("cn:alice", { commonName: "alice2" }));
    assert.ok(!admits("cn:alice", { commonName: "malice" }));
    assert.ok(!admits("dns:example.com", { dnsNames: ["example.com.evil.example"] }));
    assert.ok(!admits("dns:aXexample.com", { dnsNames: ["a.example.com"] }));
    assert.ok(!admits("dns:a.example.com", { dnsNames: ["aXexample.com"] }));
  });

  it("has no case in DNS names and the domains of email addresses, and case elsewhere", () => {
    assert.ok(admits("dns:A.example.com", { dnsNames: ["a.EXAMPLE.com"] }));
    assert.ok(admits("email:alice@EXAMPLE.com", { emails: ["alice@example.COM"] }));
    assert.ok(!admits("email:Alice@example.com", { emails: ["alice@example.com"] }));
    assert.ok(!admits("cn:Alice", { commonName: "alice" }));
    assert.ok(!admits("group:Payments", { groups: ["payments"] }));
  });

  it("takes any of several rules, and names the one that admits", () => {
    const rules = [rule("cn:bob"), rule("group:payments")];
    assert.equal(admittedBy(rules, { ...nobody, groups: ["payments"] }), "group:payments");
    assert.equal(admittedBy(rules, { ...nobody, commonName: "bob" }), "cn:bob");
    assert.equal(admittedBy(rules, { ...nobody, commonName: "alice" }), null);
  });

  it("wants all terms of one rule", () => {
    const text = "o:Example,group:payments";
    assert.ok(admits(text, { organizations: ["Example"], groups: ["payments"] }));
    assert.ok(!admits(text, { organizations: ["Example"] }));
    assert.ok(!admits(text, { groups: ["payments"] }));
  });

  it("admits everyone verified without rules, and nobody without values by a rule", () => {
    assert.notEqual(admittedBy([], nobody), null);
    for (const key of ["cn", "o", "ou", "dns", "email", "uri", "group"])
      assert.ok(!admits(`${key}:*`, {}), key);
  });

  it("has a comma in a value as \\,", () => {
    assert.ok(admits("o:Example\\, Inc.,group:a", { organizations: ["Example, Inc."], groups: ["a"] }));
    assert.ok(!admits("o:Example\\, Inc.", { organizations: ["Example"] }));
  });

  it("has colons in a value as they are", () => {
    assert.ok(admits("group:team:payments", { groups: ["team:payments"] }));
  });
});

describe("a * in allow", () => {
  it("is one segment of a URI", () => {
    assert.ok(admits("uri:spiffe://example.com/team/*", spiffe("spiffe://example.com/team/a")));
    assert.ok(!admits("uri:spiffe://example.com/team/*", spiffe("spiffe://example.com/team/a/b")));
    assert.ok(!admits("uri:spiffe://example.com/team/*", spiffe("spiffe://example.com/team/")));
    assert.ok(!admits("uri:spiffe://example.com/team/*", spiffe("spiffe://example.com/team")));
    assert.ok(!admits("uri:spiffe://example.com/team/*", spiffe("spiffe://example.com.evil.example/team/a")));
    assert.ok(admits("uri:spiffe://example.com/*/db", spiffe("spiffe://example.com/payments/db")));
  });

  it("reaches into no query, fragment or other host of a URI", () => {
    const rules = "uri:https://*.example.com/a";
    assert.ok(admits(rules, { uris: ["https://b.example.com/a"] }));
    assert.ok(!admits(rules, { uris: ["https://evil.example?.example.com/a"] }));
    assert.ok(!admits(rules, { uris: ["https://evil.example#.example.com/a"] }));
    assert.ok(!admits(rules, { uris: ["https://evil.example/.example.com/a"] }));
  });

  it("in a SPIFFE rule looks at valid SPIFFE IDs alone", () => {
    const text = "uri:spiffe://example.com/*";
    assert.ok(!admits(text, { uris: ["spiffe://example.com/.."], spiffe: null }));
    assert.ok(!admits(text, { uris: ["spiffe://example.com/a", "spiffe://example.com/b"], spiffe: null }));
    assert.ok(!admits("uri:spiffe://example.com/a", { uris: ["spiffe://example.com/a"], spiffe: null }));
  });

  it("is one label of a DNS name", () => {
    assert.ok(admits("dns:*.example.com", { dnsNames: ["a.example.com"] }));
    assert.ok(!admits("dns:*.example.com", { dnsNames: ["a.b.example.com"] }));
    assert.ok(!admits("dns:*.example.com", { dnsNames: ["example.com"] }));
    assert.ok(!admits("dns:*.example.com", { dnsNames: [".example.com"] }));
    assert.ok(admits("dns:db-*.example.com", { dnsNames: ["db-1.example.com"] }));
  });

  it("is one side of an email address, or one label of its domain", () => {
    assert.ok(admits("email:*@example.com", { emails: ["a.b@example.com"] }));
    assert.ok(!admits("email:*@example.com", { emails: ["a@sub.example.com"] }));
    assert.ok(!admits("email:*@example.com", { emails: ["a@evil@example.com"] }));
    assert.ok(!admits("email:*@example.com", { emails: ["@example.com"] }));
    assert.ok(!admits("email:alice@*", { emails: ["alice@example.com"] }));
    assert.ok(admits("email:alice@*.example.com", { emails: ["alice@A.example.com"] }));
  });

  it("stands for one character or more, as often as it is written", () => {
    assert.ok(admits("cn:a*c*e", { commonName: "abcde" }));
    assert.ok(admits("cn:a*c*e", { commonName: "a-c-c-e-e" }));
    assert.ok(!admits("cn:a*c*e", { commonName: "ace" }));
    assert.ok(!admits("cn:a*c*e", { commonName: "abcdef" }));
    assert.ok(!admits("cn:a*", { commonName: "a" }));
    assert.ok(!admits("cn:*a", { commonName: "a" }));
    assert.ok(admits("cn:*ab", { commonName: "aab" }));
    assert.ok(!admits("cn:a*b", { commonName: "a/b" }));
  });

  it("costs little even where it does not match", () => {
    const began = performance.now();
    assert.ok(!admits(`cn:${"*a".repeat(50)}*b`, { commonName: "a".repeat(4000) }));
    assert.ok(performance.now() - began < 500);
  });
});

describe("an allow rule that can't be read", () => {
  it("says what was expected", () => {
    for (const text of ["alice", "user:alice", "", "cn:", "cn:  ", "cn:a,", "CN:alice", "cn:a**b"]) {
      const parsed = parseAllow(text);
      assert.ok("problem" in parsed, text);
      assert.match(parsed.problem, /expected one of cn:|has no value|any characters already/);
    }
  });
});
