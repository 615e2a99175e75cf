import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CertificateIdentity } from "../../src/identity/identity.ts";
import {
  actingAs,
  type ImpersonationRules,
  impersonated,
  parseActing,
  parseMapped,
} from "../../src/identity/impersonation.ts";

const alice: CertificateIdentity = {
  subject: "CN=alice",
  commonName: "alice",
  organizations: [],
  organizationalUnits: [],
  dnsNames: [],
  emails: ["alice@example.com"],
  uris: ["spiffe://example.com/alice"],
  ips: [],
  spiffe: "spiffe://example.com/alice",
  groups: ["payments", "ops"],
  sources: null,
  routes: null,
  serial: "01",
  fingerprint: "",
  keyFingerprint: "",
  expires: "",
};

function sound<T extends object>(value: T | { readonly problem: string }): T {
  if ("problem" in value) throw new Error(value.problem);
  return value as T;
}
const mapped = (...texts: string[]) => texts.map((text) => sound(parseMapped(text, ["node"])));
const rules = (more: Partial<ImpersonationRules> = {}): ImpersonationRules => ({
  user: mapped("{cn}", "{email}", "{uri}"),
  groups: mapped("{group}"),
  uid: null,
  extra: [],
  as: [],
  ...more,
});
const problemOf = (value: object): string => ("problem" in value ? String(value.problem) : "");

describe("whom an API server is asked to act as", () => {
  it("is the first that the certificate has a name for", () => {
    assert.deepEqual(impersonated(rules(), alice, {}), {
      user: "alice",
      groups: ["payments", "ops"],
      uid: null,
      extra: [],
    });
    const byMail = sound(impersonated(rules(), { ...alice, commonName: null }, {}));
    assert.equal(byMail.user, "alice@example.com");
    const svid = sound(impersonated(rules(), { ...alice, commonName: null, emails: [] }, {}));
    assert.equal(svid.user, "spiffe://example.com/alice");
    assert.match(
      problemOf(impersonated(rules({ user: mapped("{dns}") }), alice, {})),
      /says nothing for \{dns\}/,
    );
  });

  it("is what the templates make of it, each group once", () => {
    const made = sound(
      impersonated(
        rules({
          user: mapped("{node}:{cn}"),
          groups: mapped("team:{group}", "system:authenticated", "team:ops"),
          uid: mapped("{email}")[0] ?? null,
          extra: [{ key: "example.com/team", value: mapped("{group}")[0] ?? sound(parseMapped("x", [])) }],
        }),
        alice,
        { node: "n7" },
      ),
    );
    assert.deepEqual(made, {
      user: "n7:alice",
      groups: ["team:payments", "team:ops", "system:authenticated"],
      uid: "alice@example.com",
      extra: [
        ["example.com/team", "payments"],
        ["example.com/team", "ops"],
      ],
    });
  });

  it("is nobody that Kubernetes keeps for itself, whatever makes the name", () => {
    const named = (commonName: string, user: string) =>
      problemOf(impersonated(rules({ user: mapped(user) }), { ...alice, commonName }, {}));
    assert.match(named("system:admin", "{cn}"), /is Kubernetes's own/);
    assert.match(named("SYSTEM:admin", "{cn}"), /is Kubernetes's own/);
    assert.match(named("system", "{cn}:admin"), /is Kubernetes's own/);
    assert.match(named("tem:admin", "sys{cn}"), /is Kubernetes's own/);
    assert.equal(named("system:admin", "staff:{cn}"), "");
    for (const groups of [["system:masters"], ["ok", "System:masters"]])
      assert.match(problemOf(impersonated(rules(), { ...alice, groups }, {})), /is Kubernetes's own/);
  });

  it("has no name that a reader on the way, or a person, takes for another", () => {
    for (const commonName of [
      " admin",
      "admin ",
      "\u00a0admin",
      "a\nImpersonate-Group: x",
      "a\u0000",
      "adm\u200bin",
      "\u202enimda",
      "a\u2028b",
      " ",
    ])
      assert.match(
        problemOf(impersonated(rules(), { ...alice, commonName }, {})),
        /white space|can't be seen|is blank/,
        JSON.stringify(commonName),
      );
  });

  it("takes no * and nothing reserved in a template", () => {
    for (const [text, why] of [
      ["app_*", /\* stands for nothing/],
      ["system:{cn}", /never made of what a certificate says/],
      ["System:{group}", /never made of what a certificate says/],
      ["{nobody}", /not known/],
      [" x", /white space/],
    ] as const)
      assert.match(problemOf(parseMapped(text, [])), why);
    assert.equal(problemOf(parseMapped("system:authenticated", [])), "");
  });
});

describe("whom a client may ask to act as", () => {
  const as = (texts: readonly string[], user: string, ...groups: string[]) =>
    actingAs(rules({ as: texts.map((text) => sound(parseActing(text, []))) }), { user, groups }, alice, {});

  it("is who one rule gives, in groups of the same rule", () => {
    const texts = ["user:deploy,group:ops,group:{group}_ro", "user:{cn}-admin", "user:a\\,b"];
    assert.deepEqual(as(texts, "deploy", "ops", "payments_ro"), {
      user: "deploy",
      groups: ["ops", "payments_ro"],
      uid: null,
      extra: [],
    });
    assert.equal(problemOf(as(texts, "alice-admin")), "");
    assert.equal(problemOf(as(texts, "a,b")), "");
    for (const asked of [
      ["bob-admin"],
      ["deploy", "admins"],
      ["alice-admin", "ops"],
      [""],
      ["deploy", ""],
      ["a"],
    ] as const)
      assert.match(
        problemOf(as(texts, ...(asked as unknown as [string]))),
        /nobody of this route may act as/,
      );
    assert.match(problemOf(as([], "deploy")), /nobody/);
  });

  it("is nobody of Kubernetes's own by a *, but where the rule says so", () => {
    assert.match(problemOf(as(["user:*,group:*"], "system:admin")), /nobody/);
    assert.match(problemOf(as(["user:*,group:*"], "x", "system:masters")), /nobody/);
    assert.match(problemOf(as(["user:s*"], "System:admin")), /nobody/);
    assert.equal(problemOf(as(["user:system:serviceaccount:dev:*"], "system:serviceaccount:dev:ci")), "");
    assert.match(
      problemOf(as(["user:system:serviceaccount:dev:*"], "system:serviceaccount:prod:ci")),
      /nobody/,
    );
    assert.match(problemOf(as(["user:*"], " admin")), /nobody/);
    assert.match(problemOf(as(["user:*"], "adm\u00efn")), /nobody/);
  });

  it("has a user in every rule, and nothing else than users and groups", () => {
    for (const text of ["group:ops", "uid:0", "user:", "", "deploy", "user:system:{cn}", "user:{nobody}"])
      assert.notEqual(problemOf(parseActing(text, [])), "", text);
  });
});
