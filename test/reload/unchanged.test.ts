import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Config } from "../../src/config/load.ts";
import { fingerprintOf } from "../../src/core/route.ts";
import { restartOnly } from "../../src/reload/restart-only.ts";
import { changesOf, keepUnchanged } from "../../src/reload/unchanged.ts";
import { authority, ca, hourMs, load, routeOf, server, type Variables } from "../support/environment.ts";

const a = "http://10.0.0.1:1?sni=a.example.com&allow=cn:alice&source=10.0.0.0/8&expiry_grace=off";
const reload = (before: Config, variables: Variables): Config => keepUnchanged(load(variables), before);
const named = (config: Config, name: string) => config.table.routes.find((route) => route.name === name);

describe("what a reload leaves alone", () => {
  it("is the very thing that it was; what changed is new", () => {
    const before = load({ SALLYPORT_ROUTE_A: a, SALLYPORT_ROUTE_B: "tcp://10.0.0.1:1?sni=b.example.com" });
    const same = reload(before, {
      SALLYPORT_ROUTE_A: a,
      SALLYPORT_ROUTE_B: "tcp://10.0.0.1:2?sni=b.example.com",
    });
    assert.equal(named(same, "a"), named(before, "a"));
    assert.notEqual(named(same, "b"), named(before, "b"));
    assert.equal(same.certificates.fallback, before.certificates.fallback);
    assert.deepEqual(changesOf(same, before), {
      routes_added: [],
      routes_changed: ["b"],
      routes_removed: [],
      certificates: [],
      certificates_removed: [],
    });
  });

  it("tells which certificates are others", async () => {
    const { cert, key } = await authority.server(["*.example.com", "localhost"], hourMs);
    const before = load({ SALLYPORT_ROUTE_A: a });
    const renewed = reload(before, { SALLYPORT_ROUTE_A: a, SALLYPORT_CERT: cert, SALLYPORT_KEY: key });
    assert.deepEqual(changesOf(renewed, before).certificates, ["SALLYPORT_CERT"]);
    assert.equal(named(renewed, "a"), named(before, "a"), "the route is the same");
  });

  // Whoever resumes a session, or takes up a connection to an upstream, was admitted by exactly this.
  const others: Readonly<Record<string, [string, Variables?]>> = {
    "another upstream": [a.replace(":1?", ":2?")],
    "another name": [a.replace("a.example", "c.example")],
    "another rule": [a.replace("alice", "bob")],
    "one rule less": [a.replace("&allow=cn:alice", "")],
    "another source": [a.replace("/8", "/9")],
    "a grace that ends": [a.replace("off", "1h")],
    "optional certificates": [`${a.replace("&allow=cn:alice", "")}&client=optional`],
    "other anchors": [a, { SALLYPORT_CLIENT_CA: `${ca}\n${server.cert}` }],
    "a default that is another": [a, { SALLYPORT_IDLE_TIMEOUT: "2h" }],
    "TLS to the upstream": [`${a}&upstream_tls=insecure`],
    "another cap": [`${a}&max_connections=1`],
  };
  for (const [what, [url, variables]] of Object.entries(others))
    it(`is no route with ${what}`, () =>
      assert.notEqual(fingerprintOf(routeOf(url, variables)), fingerprintOf(routeOf(a))));
});

describe("what takes a restart", () => {
  const told = (variables: Variables, from: Variables = {}): readonly string[] =>
    restartOnly(load(variables), load(from)).map(({ name, message }) => `${name}: ${message}`);

  it("is none of what routes and certificates say", () =>
    assert.deepEqual(told({ SALLYPORT_ROUTE_A: a, SALLYPORT_CLIENT_CA: `${ca}\n${server.cert}` }), []));

  it("is a listener more, one less, or elsewhere", () => {
    const on = (port: number): Variables => ({ SALLYPORT_ROUTE_A: `${a}&port=${port}` });
    assert.deepEqual(told(on(9000)), ["SALLYPORT_ROUTE_A: listening on port 9000 too takes a restart"]);
    assert.deepEqual(told({}, on(9000)), [
      "SALLYPORT_ROUTE_A: listening on port 9000 no longer takes a restart",
    ]);
    assert.equal(told(on(9001), on(9000)).length, 2);
    assert.deepEqual(told(on(9000), on(9000)), []);
    const separate = { SALLYPORT_LISTENER_MODE: "separate" };
    assert.deepEqual(
      told({ ...separate, SALLYPORT_ROUTE_R: "redis://10.0.0.1?sni=r.example.com" }, separate),
      ["SALLYPORT_PORT_REDIS: listening on port 6379 too takes a restart"],
    );
  });

  it("is what is made once, whatever it is", () => {
    assert.deepEqual(told({ SALLYPORT_LISTEN: "127.0.0.1:1" }), [
      "SALLYPORT_LISTEN: is another than at the start, which takes a restart",
    ]);
    assert.match(told({ SALLYPORT_MAX_CONNECTIONS: "7" }).join(), /^SALLYPORT_MAX_CONNECTIONS: /);
    assert.match(told({ SALLYPORT_ADMIN_ALLOW: "cn:a" }).join(), /^SALLYPORT_ADMIN_ALLOW: /);
    const shared = { SALLYPORT_STATE_URL: "rediss://a.test", SALLYPORT_STATE_SECRET: "a".repeat(64) };
    for (const [name, value] of [
      ["SALLYPORT_STATE_URL", "rediss://b.test"],
      ["SALLYPORT_STATE_SECRET", "b".repeat(64)],
      ["SALLYPORT_STATE_CA", ca],
    ] as const)
      assert.deepEqual(told({ ...shared, [name]: value }, shared), [
        `${name}: is another than at the start, which takes a restart`,
      ]);
  });
});
