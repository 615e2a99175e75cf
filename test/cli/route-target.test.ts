import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { forProxyCommand } from "../../src/cli/config/ssh.ts";
import type { ListedRoute } from "../../src/cli/listed-routes.ts";
import { type Kind, targetOf } from "../../src/cli/route-target.ts";

const routes: readonly ListedRoute[] = [
  {
    name: "orders",
    scheme: "postgres",
    sni: ["orders.example.com"],
    alpn: ["postgresql", "sallyport-postgres"],
  },
  {
    name: "web",
    scheme: "http",
    sni: ["*.example.com", "web.example.com"],
    alpn: ["h2", "http/1.1", "sallyport-http"],
  },
  { name: "nodes", scheme: "ssh", sni: ["{node}.ssh.example.com"], alpn: ["sallyport-ssh"] },
  { name: "prod", scheme: "kubernetes", sni: ["kube.example.com"], alpn: ["h2"] },
  { name: "through", scheme: "tls", sni: ["through.example.com"], alpn: null },
];
const none = { alpn: undefined, protocol: undefined };
const target = (text: string, kind: Kind, flags = {}) => targetOf(text, kind, routes, { ...none, ...flags });

describe("what a ROUTE argument means", () => {
  it("a route's name, with an exact name of its own and the id that only a router answers to", () => {
    assert.deepEqual(target("orders", "db"), {
      name: "orders",
      scheme: "postgres",
      serverName: "orders.example.com",
      alpn: "sallyport-postgres",
    });
    assert.deepEqual(target("web", "app").serverName, "web.example.com");
    assert.deepEqual(target("web", "app").alpn, "sallyport-http");
  });

  it("a host name, as the most specific route serves it", () => {
    assert.equal(target("node1.ssh.example.com", "tcp").alpn, "sallyport-ssh");
    assert.equal(target("Orders.Example.Com.", "db").scheme, "postgres");
    assert.equal(target("Orders.Example.Com.", "db").serverName, "orders.example.com");
    assert.deepEqual(target("other.example.com", "app").alpn, "sallyport-http");
  });

  it("a host name that is not listed, as it stands", () => {
    assert.equal(target("a.elsewhere.test", "tcp").alpn, "sallyport-tcp");
    assert.equal(target("a.elsewhere.test", "db", { protocol: "redis" }).alpn, "sallyport-redis");
    assert.throws(() => target("a.elsewhere.test", "db"), /--protocol is missing/);
    assert.equal(target("a.elsewhere.test", "tcp", { alpn: "own" }).alpn, "own");
  });

  it("never what TLS can't ask for, or would be a path", () => {
    for (const text of ["10.0.0.1", "../../x", "$(id).example.com", "-oProxyCommand.example.com", "a..b"])
      assert.throws(() => target(text, "tcp"), /expected a route's name, or a host name/, text);
  });

  it("says what there is instead", () => {
    assert.throws(() => target("oders", "db"), /no route oders: there are orders, .*did you mean orders\?/);
    assert.throws(() => target("orders", "app"), /orders is a postgres route: try sallyport proxy db orders/);
    assert.throws(
      () => target("web.example.com", "db"),
      /served by web, a http route: try sallyport proxy app web/,
    );
    assert.throws(
      () => target("nodes", "tcp"),
      /route nodes serves \{node\}\.ssh\.example\.com: expected one of its hosts/,
    );
    assert.throws(() => target("through", "tcp"), /passes through route through untouched/);
    assert.throws(() => target("prod", "kube"), /serves h2 only: expected --alpn/);
  });
});

describe("a ProxyCommand", () => {
  it("is words for a shell, without tokens of OpenSSH's", () => {
    assert.equal(
      forProxyCommand(["/opt/my tools/sallyport", "proxy", "it's", "50%", "--ca=/x"]),
      `'/opt/my tools/sallyport' proxy 'it'\\''s' '50%%' --ca=/x`,
    );
  });
});
