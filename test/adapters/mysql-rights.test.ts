import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { userFor } from "../../src/adapters/mysql/rights.ts";
import type { Session } from "../../src/core/session.ts";
import { routeOf } from "../support/environment.ts";

const session = (url: string): Session => {
  const known: Partial<Session> = { route: routeOf(url), identity: null, captures: {} };
  return known as Session;
};
const refused = { reason: "identity_not_allowed" };

describe("the user of a MySQL login", () => {
  it("may be left unsaid where the route has one and lists none", () => {
    const route = session("mysql://app:secret@db?sni=a.example.com");
    assert.equal(userFor(route, ""), "app");
    assert.equal(userFor(route, "app"), "app");
    assert.throws(() => userFor(route, "alice"), refused);
  });

  it("must be one of those that are listed, and nobody is none of them", () => {
    const route = session("mysql://app:secret@db?sni=a.example.com&db_user=reader,ro_*");
    assert.equal(userFor(route, "ro_1"), "app");
    for (const asked of ["", "app", "ro_"]) assert.throws(() => userFor(route, asked), refused);
    const theirs = session("mysql://db?sni=a.example.com&db_user=*");
    assert.equal(userFor(theirs, "alice"), "alice");
    assert.throws(() => userFor(theirs, ""), refused);
  });

  it("is none that the server would clip, or take out of its quotes, where there are rules", () => {
    const long = `${"a".repeat(32)}_ro`;
    const route = session("mysql://db?sni=a.example.com&db_user=*_ro,*'");
    assert.equal(userFor(route, "payments_ro"), "payments_ro");
    for (const asked of [long, "'root_ro'"]) assert.throws(() => userFor(route, asked), refused);
    assert.equal(userFor(session("mysql://db?sni=a.example.com"), long), long);
  });

  it("is nobody's on a route without rules", () => {
    const route = { ...session("mysql://db?sni=a.example.com").route, database: null };
    assert.throws(() => userFor({ ...session("mysql://db?sni=a.example.com"), route }, "alice"), TypeError);
  });
});
