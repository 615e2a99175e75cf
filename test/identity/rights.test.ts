import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Identity } from "../../src/identity/identity.ts";
import { mayAsk, namedBy, parseRight, type Right } from "../../src/identity/rights.ts";

const alice: Identity = {
  subject: "CN=alice",
  commonName: "alice",
  organizations: [],
  organizationalUnits: [],
  dnsNames: [],
  emails: ["alice@example.com"],
  uris: [],
  ips: [],
  spiffe: null,
  groups: ["payments", "ops"],
  sources: null,
  routes: null,
  serial: "01",
  fingerprint: "",
  expires: "",
};

const right = (text: string, captures: readonly string[] = []): Right => {
  const parsed = parseRight(text, captures);
  if ("problem" in parsed) throw new Error(parsed.problem);
  return parsed;
};
const may = (text: string, value: string, identity: Identity | null = alice, captures = {}): boolean =>
  mayAsk([right(text, Object.keys(captures))], value, identity, captures);

describe("a right", () => {
  it("is to the value that stands there, case and all", () => {
    assert.ok(may("app", "app"));
    assert.ok(!may("app", "App"));
    assert.ok(!may("app", "app2"));
    assert.ok(!may("app", ""));
  });

  it("has * for one or more characters", () => {
    assert.ok(may("app_*", "app_1"));
    assert.ok(!may("app_*", "app_"));
    assert.ok(may("*", "anything at all"));
    assert.ok(!may("*", ""));
  });

  it("has what the certificate says", () => {
    assert.ok(may("{cn}", "alice"));
    assert.ok(may("{email}", "alice@example.com"));
    assert.ok(!may("{cn}", "bob"));
    assert.ok(!may("{cn}", "{cn}"));
  });

  it("has every one of several values", () => {
    assert.ok(may("{group}_ro", "payments_ro"));
    assert.ok(may("{group}_ro", "ops_ro"));
    assert.ok(!may("{group}_ro", "_ro"));
  });

  it("has what the name captured", () => {
    assert.ok(may("{db}_dev", "orders_dev", null, { db: "orders" }));
    assert.ok(!may("{db}_dev", "_dev", null, { db: "" }));
  });

  it("is to nothing where the certificate does not say it, or there is none", () => {
    assert.ok(!may("{ou}", ""));
    assert.ok(!may("x{ou}", "x"));
    assert.ok(!may("{cn}", "alice", null));
  });

  it("takes no * from a certificate", () => {
    const star = { ...alice, commonName: "*" };
    assert.ok(!may("{cn}", "postgres", star));
    assert.ok(!may("{cn}", "*", star));
    assert.ok(!may("{cn}_x", "admin_x", { ...alice, commonName: "a*" }));
  });

  it("with very many values is to nothing rather than slow", () => {
    const groups = Array.from({ length: 200 }, (_, i) => `g${i}`);
    const many = { ...alice, groups };
    assert.ok(may("{group}", "g199", many));
    assert.ok(!may("{group}{group}", "g1g1", many));
  });

  it("without rules everything may be asked for", () => assert.ok(mayAsk(null, "x", null, {})));
});

describe("what rights give by name", () => {
  const named = (texts: readonly string[], identity: Identity | null = alice): readonly string[] =>
    namedBy(
      texts.map((text) => right(text, ["node"])),
      identity,
      { node: "n7" },
    );

  it("is what they say once filled in, in their order", () => {
    assert.deepEqual(named(["app", "{cn}", "{group}_ro", "{node}"]), [
      "app",
      "alice",
      "payments_ro",
      "ops_ro",
      "n7",
    ]);
    assert.deepEqual(named(["alice", "{cn}"]), ["alice"]);
  });

  it("is nothing where anything may stand, or nothing is known", () => {
    assert.deepEqual(named(["app_*", "{o}", "{uri}"]), []);
    assert.deepEqual(named(["{cn}"], null), []);
    assert.deepEqual(named(["{cn}"], { ...alice, commonName: "*" }), []);
  });
});
