import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { administers } from "../../src/identity/administrators.ts";
import type { Identity } from "../../src/identity/identity.ts";
import { type AllowRule, parseAllow } from "../../src/identity/policy.ts";

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
  groups: ["operators"],
  sources: null,
  routes: null,
  serial: "01",
  fingerprint: "",
  expires: "2030-01-01T00:00:00.000Z",
};

const now = Date.parse("2029-01-01T00:00:00Z");

const rules = (...texts: string[]): AllowRule[] =>
  texts.map((text) => {
    const rule = parseAllow(text);
    if ("problem" in rule) throw new Error(rule.problem);
    return rule;
  });

const may = (allowed: readonly AllowRule[], more: Partial<Identity> | null = {}): boolean =>
  administers(allowed, more === null ? null : { ...alice, ...more }, [127, 0, 0, 1], "sallyport", now);

describe("administrators", () => {
  it("are those whom a rule admits", () => {
    assert.equal(may(rules("cn:bob", "group:operators")), true);
    assert.equal(may(rules("cn:bob", "group:operators,cn:bob")), false);
  });

  it("are nobody where there is no rule, though routes without one admit everybody", () =>
    assert.equal(may([]), false));

  it("are nobody without an identity", () => assert.equal(may(rules("cn:*"), null), false));

  it("are nobody once their certificate has run out, or none can tell when it does", () => {
    assert.equal(may(rules("cn:alice"), { expires: new Date(now + 1).toISOString() }), true);
    assert.equal(may(rules("cn:alice"), { expires: new Date(now).toISOString() }), false);
    assert.equal(may(rules("cn:alice"), { expires: "" }), false);
  });

  it("hold to the limits in their certificates", () => {
    const operators = rules("group:operators");
    assert.equal(may(operators, { routes: ["orders"] }), false);
    assert.equal(may(operators, { routes: ["orders", "sallyport"] }), true);
    assert.equal(may(operators, { sources: ["10.0.0.0/8"] }), false);
    assert.equal(may(operators, { sources: ["127.0.0.0/8"] }), true);
  });
});
