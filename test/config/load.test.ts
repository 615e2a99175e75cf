import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { schemes } from "../../src/adapters/registry.ts";
import { loadConfig } from "../../src/config/load.ts";
import { formatCidr } from "../../src/wire/ip.ts";
import {
  authority,
  base,
  ca,
  folder,
  hourMs,
  load,
  problems,
  server,
  type Variables,
} from "../support/environment.ts";

/** The one problem is this variable's and says this. */
function refused(variables: Variables, name: string, expected: RegExp): void {
  const found = problems(variables);
  assert.deepEqual(
    found.map((problem) => problem.name),
    [name],
    JSON.stringify(found),
  );
  assert.match(found[0]?.message ?? "", expected);
}

const tcp = (sni: string): string => `tcp://10.0.0.1:1?sni=${sni}.example.com`;

describe("the environment", () => {
  it("warns of passwords that can only be said as they stand, where others may hear them", () => {
    const warned = (url: string): string => load({ SALLYPORT_ROUTE_R: url }).warnings.join();
    const at = (host: string, more = "") => `redis://app:hidden@${host}:6379?sni=r.example.com${more}`;
    assert.match(
      warned(at("10.0.0.9")),
      /^SALLYPORT_ROUTE_R: .*10\.0\.0\.9:6379 in the clear; set upstream_tls=verify$/,
    );
    assert.match(warned(at("10.0.0.9", "&upstream_tls=insecure")), /TLS that is not verified/);
    assert.doesNotMatch(warned(at("10.0.0.9")), /hidden/);
    for (const sound of [
      ...[at("127.0.0.1"), at("localhost"), at("[::1]"), at("10.0.0.9", "&upstream_tls=verify")],
      ...["redis://10.0.0.9:6379?sni=r.example.com", "postgres://app:hidden@10.0.0.9?sni=r.example.com"],
    ])
      assert.equal(warned(sound), "", sound);
  });

  it("has a default for everything", () => {
    const config = loadConfig({}, schemes, folder({}));
    assert.deepEqual(config.listen, { host: "0.0.0.0", port: 8443 });
    assert.deepEqual(config.admin, { host: "127.0.0.1", port: 8080 });
    assert.deepEqual(config.timeouts, {
      handshakeMs: 10_000,
      connectMs: 10_000,
      halfCloseMs: 60_000,
      drainMs: 300_000,
      drainDelayMs: 15_000,
    });
    assert.deepEqual(config.caps, { connections: 10_000, perSource: 1000, perIdentity: 500 });
    assert.deepEqual(config.log, { format: null, level: "info" });
    assert.deepEqual(config.proxyProtocol, { mode: "off", from: [] });
    assert.deepEqual(config.audit.target, { to: "stdout" });
    assert.equal(config.workers, 1);
    assert.deepEqual(config.table.routes, []);
  });

  it("sets all of it", () => {
    const config = load({
      SALLYPORT_LISTEN: "[::1]:0",
      SALLYPORT_ADMIN_LISTEN: "off",
      SALLYPORT_HOST: "Gate.Example.com.",
      SALLYPORT_PROXY_PROTOCOL: "required",
      SALLYPORT_PROXY_PROTOCOL_FROM: "10.0.0.0/8, ::1",
      SALLYPORT_HANDSHAKE_TIMEOUT: "1500ms",
      SALLYPORT_CONNECT_TIMEOUT: "2s",
      SALLYPORT_HALF_CLOSE_TIMEOUT: "3m",
      SALLYPORT_DRAIN_TIMEOUT: "4h",
      SALLYPORT_DRAIN_DELAY: "0s",
      SALLYPORT_MAX_CONNECTIONS: "5",
      SALLYPORT_MAX_CONNECTIONS_PER_SOURCE: "6",
      SALLYPORT_MAX_CONNECTIONS_PER_IDENTITY: "7",
      SALLYPORT_LOG_FORMAT: "text",
      SALLYPORT_LOG_LEVEL: "debug",
      SALLYPORT_AUDIT_LOG: "off",
      SALLYPORT_LISTENER_MODE: "multiplex",
      SALLYPORT_WORKERS: "auto",
      SALLYPORT_STATE_URL: "memory:",
    });
    assert.deepEqual(config.listen, { host: "::1", port: 0 });
    assert.equal(config.admin, null);
    assert.equal(config.host, "gate.example.com");
    assert.equal(config.proxyProtocol.mode, "required");
    assert.deepEqual(config.proxyProtocol.from.map(formatCidr), ["10.0.0.0/8", "::1/128"]);
    assert.deepEqual(config.timeouts, {
      handshakeMs: 1500,
      connectMs: 2000,
      halfCloseMs: 180_000,
      drainMs: 14_400_000,
      drainDelayMs: 0,
    });
    assert.deepEqual(config.caps, { connections: 5, perSource: 6, perIdentity: 7 });
    assert.equal(config.workers, "auto");
    assert.deepEqual(config.log, { format: "text", level: "debug" });
    assert.deepEqual(config.audit.target, { to: "nowhere" });
  });

  it("may hold an empty value for what is not set", () =>
    assert.deepEqual(load({ SALLYPORT_LISTEN: "", SALLYPORT_ROUTE_X: "" }).listen, {
      host: "0.0.0.0",
      port: 8443,
    }));

  for (const [variable, value, expected] of [
    ["SALLYPORT_LISTEN", "8443", /is no address: expected host:port/],
    ["SALLYPORT_LISTEN", "0.0.0.0:65536", /is no address/],
    ["SALLYPORT_LISTEN", "[:::::]:1", /is no address/],
    ["SALLYPORT_LISTEN", "::1:80", /is no address/],
    ["SALLYPORT_LISTEN", "a b:1", /is no address/],
    ["SALLYPORT_ADMIN_LISTEN", "none", /is no address: .* or off/],
    ["SALLYPORT_HOST", "*.example.com", /is no DNS name/],
    ["SALLYPORT_HOST", "{x}.example.com", /is no DNS name/],
    ["SALLYPORT_HOST", "10.0.0.1", /is no DNS name/],
    ["SALLYPORT_HOST", "gate.example.com:8443", /is no DNS name/],
    ["SALLYPORT_PROXY_PROTOCOL", "on", /expected off, optional or required/],
    ["SALLYPORT_HANDSHAKE_TIMEOUT", "10", /is no duration: expected a number and a unit/],
    ["SALLYPORT_HANDSHAKE_TIMEOUT", "0s", /out of bounds/],
    ["SALLYPORT_CONNECT_TIMEOUT", "1d", /is no duration/],
    ["SALLYPORT_IDLE_TIMEOUT", "-1s", /is no duration/],
    ["SALLYPORT_HALF_CLOSE_TIMEOUT", "999999999h", /out of bounds/],
    ["SALLYPORT_DRAIN_TIMEOUT", "0ms", /out of bounds/],
    ["SALLYPORT_DRAIN_DELAY", "1.5s", /is no duration/],
    ["SALLYPORT_MAX_CONNECTIONS", "0", /is no count: expected a whole number from 1/],
    ["SALLYPORT_MAX_CONNECTIONS", "10000001", /is no count/],
    ["SALLYPORT_MAX_CONNECTIONS_PER_SOURCE", "1e3", /is no count/],
    ["SALLYPORT_MAX_CONNECTIONS_PER_IDENTITY", "many", /is no count/],
    ["SALLYPORT_LOG_FORMAT", "xml", /expected json or text/],
    ["SALLYPORT_LOG_LEVEL", "loud", /expected debug, info, warn or error/],
    ["SALLYPORT_LISTENER_MODE", "both", /expected multiplex or separate/],
    ["SALLYPORT_WORKERS", "0", /expected a whole number from 1 to 256, or auto/],
    ["SALLYPORT_WORKERS", "few", /expected a whole number from 1 to 256, or auto/],
    ["SALLYPORT_ADMIN_ALLOW", "operators", /^"operators" is no rule/],
    ["SALLYPORT_ADMIN_ALLOW", "cn:alice;", /^"" is no rule/],
    ["SALLYPORT_TUNNEL_ALLOW", "a=b", /^a="b" is no rule/],
    ["SALLYPORT_TUNNEL_ALLOW", "cn:edge", /does not begin with an agent's name and =/],
    ["SALLYPORT_TUNNEL_ALLOW", "Edge=cn:edge", /does not begin with an agent's name and =/],
    ["SALLYPORT_TUNNEL_ALLOW", "a=cn:x;", /does not begin with an agent's name and =/],
    ["SALLYPORT_PORT_POSTGRES", "1", /^is for SALLYPORT_LISTENER_MODE=separate/],
    ["SALLYPORT_PORT_TUNNEL", "1", /^is for SALLYPORT_LISTENER_MODE=separate/],
    ["SALLYPORT_LISTN", ":1", /is no variable of Sallyport; did you mean SALLYPORT_LISTEN\?/],
    ["SALLYPORT_CLIENTCA", "x", /did you mean SALLYPORT_CLIENT_CA\?/],
    ["SALLYPORT_ROUTES_ORDERS", "x", /did you mean SALLYPORT_ROUTE_ORDERS\?/],
    ["SALLYPORT_", "x", /is no variable of Sallyport/],
  ] as const) {
    it(`${variable}=${value} is refused`, () => refused({ [variable]: value }, variable, expected));
  }

  it("a password in SALLYPORT_STATE_URL, or its secret, is not repeated", () => {
    const url = "redis://:hunter2@h";
    refused(
      { SALLYPORT_STATE_URL: url },
      "SALLYPORT_STATE_SECRET",
      /expected the secret that all routers share/,
    );
    for (const value of [
      url,
      "hunter2",
      "redis://:hunter2@h/0?x=1",
      "redis://:hunter2@h/x",
      "rediss://:hunter2@",
    ])
      assert.ok(!JSON.stringify(problems({ SALLYPORT_STATE_URL: value })).includes("hunter2"), value);
    for (const value of ["hunter2", `${"hunter2".repeat(9)}h`])
      assert.ok(
        !JSON.stringify(problems({ SALLYPORT_STATE_URL: url, SALLYPORT_STATE_SECRET: value })).includes(
          "hunter2",
        ),
      );
  });

  it("a % that is no percent-encoding is said to be none", () => {
    refused(
      { SALLYPORT_STATE_URL: "redis://%zz@h", SALLYPORT_STATE_SECRET: "a".repeat(64) },
      "SALLYPORT_STATE_URL",
      /a % that is no percent-encoding: expected memory:/,
    );
    refused({ SALLYPORT_AUDIT_LOG: "syslog+unix:/%zz" }, "SALLYPORT_AUDIT_LOG", /no percent-encoding/);
  });

  it("an endpoint of OTEL_* that is no URL is refused where something is exported", () => {
    for (const name of ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"]) {
      for (const value of ["collector:4318", "ftp://collector.test", "https://"])
        refused({ SALLYPORT_OTLP: "all", [name]: value }, name, /expected an http:\/\/ or https:\/\/ URL/);
      assert.deepEqual(problems({ SALLYPORT_OTLP: "all", [name]: "https://collector.test:4318/x" }), []);
      assert.deepEqual(problems({ [name]: "collector:4318" }), []);
    }
  });

  it("says where state is shared, and what seals it", () => {
    const base64 = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    const secret = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
    const hex = Buffer.from(secret).toString("hex");
    for (const text of [base64, base64.slice(0, -1), hex, hex.toUpperCase()]) {
      const { state } = load({
        SALLYPORT_STATE_URL: "rediss://me:a%2Fb@[::1]:7000/3",
        SALLYPORT_STATE_SECRET: text,
      });
      assert.deepEqual(state, {
        ...{ host: "::1", port: 7000, tls: { anchors: [] }, username: "me", password: "a/b", database: 3 },
        secret,
      });
    }
    const plain = load({ SALLYPORT_STATE_URL: "redis://h", SALLYPORT_STATE_SECRET: base64 });
    assert.deepEqual(plain.state, {
      ...{ host: "h", port: 6379, tls: null, username: null, password: null, database: 0 },
      secret,
    });
    assert.match(plain.warnings.join(), /SALLYPORT_JWT_KEY is not/);
    assert.equal(load({}).state, null);
    assert.match(load({ SALLYPORT_STATE_SECRET: base64 }).warnings.join(), /SALLYPORT_STATE_SECRET is set/);
    refused(
      { SALLYPORT_STATE_URL: "redis://h", SALLYPORT_STATE_SECRET: base64, SALLYPORT_STATE_CA: "x" },
      "SALLYPORT_STATE_CA",
      /rediss/,
    );
  });

  it("may hold what the client commands read, and what is not ours", () =>
    assert.deepEqual(
      problems({
        SALLYPORT_ROUTER: "h",
        SALLYPORT_CA: "x",
        SALLYPORT_CLIENT_CERT: "x",
        SALLYPORT_CLIENT_KEY: "x",
        SALLYPORT_AGENT_NAME: "x",
        SALLYPORT_SERVICE_SSH: "h:22",
        SALLY: "x",
        sallyport_listen: "x",
      }),
      [],
    ));
  it("is told everything that is wrong with it at once", () =>
    assert.deepEqual(
      problems({
        SALLYPORT_LISTEN: "x",
        SALLYPORT_MAX_CONNECTIONS: "x",
        SALLYPORT_ROUTE_A: "x",
        SALLYPORT_ROUTE_B: "tcp://h:1",
        SALLYPORT_LOG_LEVL: "x",
      })
        .map(({ name }) => name)
        .sort(),
      [
        "SALLYPORT_LISTEN",
        "SALLYPORT_LOG_LEVL",
        "SALLYPORT_MAX_CONNECTIONS",
        "SALLYPORT_ROUTE_A",
        "SALLYPORT_ROUTE_B",
      ],
    ));
  it("needs to say whose PROXY headers are believed", () =>
    refused(
      { SALLYPORT_PROXY_PROTOCOL: "optional" },
      "SALLYPORT_PROXY_PROTOCOL_FROM",
      /SALLYPORT_PROXY_PROTOCOL is optional/,
    ));
  it("is warned of networks whose headers nobody reads", () =>
    assert.match(
      load({ SALLYPORT_PROXY_PROTOCOL_FROM: "10.0.0.0/8" }).warnings.join(),
      /SALLYPORT_PROXY_PROTOCOL is off/,
    ));
});

describe("route variables", () => {
  it("name their route in lower case with hyphens", () =>
    assert.deepEqual(
      load({ SALLYPORT_ROUTE_MY_DB_2: tcp("a") }).table.routes.map(({ name }) => name),
      ["my-db-2", "sallyport"],
    ));
  for (const suffix of ["", "orders", "A__B", "A-B", "_A", "A_"])
    it(`SALLYPORT_ROUTE_${suffix} is refused`, () =>
      refused(
        { [`SALLYPORT_ROUTE_${suffix}`]: tcp("a") },
        `SALLYPORT_ROUTE_${suffix}`,
        /expected a name of capitals/,
      ));
  it("can't be SALLYPORT_ROUTE_SALLYPORT, the router's own", () =>
    refused(
      { SALLYPORT_ROUTE_SALLYPORT: tcp("a") },
      "SALLYPORT_ROUTE_SALLYPORT",
      /at SALLYPORT_HOST; choose another/,
    ));
  it("in conflict name each other", () =>
    refused(
      { SALLYPORT_ROUTE_A: tcp("a"), SALLYPORT_ROUTE_B: tcp("A") },
      "SALLYPORT_ROUTE_B",
      /^conflicts with SALLYPORT_ROUTE_A: both serve a\.example\.com with the protocol sallyport-tcp/,
    ));
  it("in conflict with themselves say so", () =>
    refused(
      { SALLYPORT_ROUTE_A: tcp("*.a.example.com,{x}.a") },
      "SALLYPORT_ROUTE_A",
      /^conflicts with itself: .*twice/,
    ));
  it("in conflict with the router's own pages name SALLYPORT_HOST", () =>
    refused(
      { SALLYPORT_ROUTE_A: "http://h?sni=localhost" },
      "SALLYPORT_ROUTE_A",
      /^conflicts with SALLYPORT_HOST: .*localhost/,
    ));
  it("may share the router's own name for other protocols", () =>
    assert.deepEqual(problems({ SALLYPORT_ROUTE_A: "tcp://h:1?sni=localhost" }), []));
});

describe("ports", () => {
  const own = (port: number): string => `${tcp("a")}&port=${port}`;
  it("of two routes must differ", () =>
    refused(
      { SALLYPORT_ROUTE_A: own(9000), SALLYPORT_ROUTE_B: "tcp://h:1?sni=b.example.com&port=9000" },
      "SALLYPORT_ROUTE_B",
      /port=9000 is the port of SALLYPORT_ROUTE_A already/,
    ));
  it("of a route and the one port must differ", () => {
    refused({ SALLYPORT_ROUTE_A: own(8443) }, "SALLYPORT_ROUTE_A", /is the port of SALLYPORT_LISTEN already/);
    assert.deepEqual(problems({ SALLYPORT_LISTEN: ":9443", SALLYPORT_ROUTE_A: own(8443) }), []);
  });
  it("of the admin listener must differ where it shares an address", () => {
    refused(
      { SALLYPORT_ADMIN_LISTEN: ":8443" },
      "SALLYPORT_ADMIN_LISTEN",
      /is the port of SALLYPORT_LISTEN already/,
    );
    refused(
      { SALLYPORT_ROUTE_A: own(8080) },
      "SALLYPORT_ROUTE_A",
      /is the port of SALLYPORT_ADMIN_LISTEN already/,
    );
    assert.deepEqual(problems({ SALLYPORT_LISTEN: "10.0.0.1:8080" }), []);
  });
  it("that the system chooses never meet", () =>
    assert.deepEqual(
      problems({ SALLYPORT_LISTEN: "127.0.0.1:0", SALLYPORT_ADMIN_LISTEN: "127.0.0.1:0" }),
      [],
    ));
});

describe("the router's own pages", () => {
  const app = (variables: Variables) => load(variables).table.routes.find(({ name }) => name === "sallyport");
  it("are a route at SALLYPORT_HOST that asks for a certificate if anybody's could be verified", () => {
    const route = app({ SALLYPORT_HOST: "gate.example.com" });
    assert.equal(route?.names[0]?.text, "gate.example.com");
    assert.deepEqual(route?.alpn, ["h2", "http/1.1", "sallyport-auth"]);
    assert.equal(route?.client, "optional");
    assert.equal(app({ SALLYPORT_CLIENT_CA: "" })?.client, "none");
  });
  it("are left out, with a warning, without a certificate for them", () => {
    const config = loadConfig({ SALLYPORT_ROUTE_A: "tls://h?sni=a.example.com" }, schemes, folder({}));
    assert.deepEqual(
      config.table.routes.map(({ name }) => name),
      ["a"],
    );
    assert.match(config.warnings.join(), /no certificate for SALLYPORT_HOST \(localhost\)/);
  });
  it("are warned of where nobody can say that they administer", () => {
    const rule = { SALLYPORT_ADMIN_ALLOW: "group:operators" };
    assert.deepEqual(
      load(rule).adminAllow.map(({ text }) => text),
      ["group:operators"],
    );
    assert.deepEqual(load({}).adminAllow, []);
    assert.doesNotMatch(load(rule).warnings.join(), /ADMIN_ALLOW/);
    const signingIn = {
      SALLYPORT_HOST_LOGIN: "oidc",
      SALLYPORT_OIDC_STAFF: "https://login.test?client_id=a",
    };
    assert.doesNotMatch(
      load({ ...rule, ...signingIn, SALLYPORT_CLIENT_CA: "" }).warnings.join(),
      /ADMIN_ALLOW/,
    );
    assert.match(
      load({ ...rule, SALLYPORT_CLIENT_CA: "" }).warnings.join(),
      /SALLYPORT_ADMIN_ALLOW is set, and SALLYPORT_CLIENT_CA is not/,
    );
  });
});

describe("certificates", () => {
  const only = (variables: Variables, contents: Readonly<Record<string, string>>) =>
    problems({ SALLYPORT_CERT: "", SALLYPORT_KEY: "", ...variables }, folder(contents));

  it("are text or paths", () => {
    const disk = folder({ "/c.pem": server.cert, "/k.pem": server.key, "/ca.pem": ca });
    const paths = { SALLYPORT_CERT: "/c.pem", SALLYPORT_KEY: "/k.pem", SALLYPORT_CLIENT_CA: "/ca.pem" };
    assert.deepEqual(load(paths, disk).certificates.fallback?.names, ["*.example.com", "localhost"]);
    const oneLine = { SALLYPORT_KEY: server.key.replaceAll("\n", "\\n") };
    assert.equal(load(oneLine).certificates.fallback?.key.trim(), server.key.trim());
  });
  it("go with their keys", () => {
    refused({ SALLYPORT_KEY: "" }, "SALLYPORT_KEY", /expected the private key of SALLYPORT_CERT/);
    refused({ SALLYPORT_CERT: "" }, "SALLYPORT_CERT", /expected the certificate chain of SALLYPORT_KEY/);
  });
  it("whose key is another's, or none, are refused", async () => {
    const other = await authority.server(["a.example.com"], hourMs);
    refused({ SALLYPORT_KEY: other.key }, "SALLYPORT_KEY", /the private key is not this certificate's/);
    refused({ SALLYPORT_KEY: server.cert }, "SALLYPORT_KEY", /the private key can't be read/);
    refused({ SALLYPORT_CERT: server.key }, "SALLYPORT_CERT", /holds no certificate/);
  });
  it("that can't be read are refused under the variable at fault, and no route is blamed", () => {
    const route = { SALLYPORT_ROUTE_A: tcp("a") };
    refused({ ...route, SALLYPORT_CERT: "/nowhere" }, "SALLYPORT_CERT", /can't be read \(no such file\)/);
    refused({ ...route, SALLYPORT_KEY: "/nowhere" }, "SALLYPORT_KEY", /can't be read \(no such file\)/);
    refused(
      { ...route, SALLYPORT_CLIENT_CA: "/nowhere" },
      "SALLYPORT_CLIENT_CA",
      /can't be read \(no such file\)/,
    );
    const broken = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";
    refused({ ...route, SALLYPORT_CERT: broken }, "SALLYPORT_CERT", /a certificate that can't be read/);
    refused(
      { ...route, SALLYPORT_CERT: server.cert + broken },
      "SALLYPORT_CERT",
      /a certificate that can't be read/,
    );
    refused(
      { ...route, SALLYPORT_CLIENT_CA: ca + broken },
      "SALLYPORT_CLIENT_CA",
      /a certificate that can't be read/,
    );
  });
  it("keys are in no error, not even one that lost its first line and looks like a path", () => {
    const body = server.key.split("\n").slice(1, -2).join("");
    for (const key of [body, server.key.slice(1), server.key.replace("M", "N"), `"${server.key}"`]) {
      const said = JSON.stringify(problems({ SALLYPORT_KEY: key }));
      assert.match(said, /SALLYPORT_KEY/);
      assert.ok(!said.includes(body.slice(20, 60)), said);
    }
  });

  it("of a folder are picked by name, exact before wildcard", async () => {
    const a = await authority.server(["a.example.com"], hourMs);
    const contents = {
      "/d/wild.crt": server.cert,
      "/d/wild.key": server.key,
      "/d/a.crt": a.cert,
      "/d/a.key": a.key,
    };
    const config = load(
      { SALLYPORT_CERT: "", SALLYPORT_KEY: "", SALLYPORT_CERT_DIR: "/d" },
      folder(contents),
    );
    assert.deepEqual(
      config.certificates.all.map(({ name }) => name),
      ["a", "wild"],
    );
    assert.equal(config.certificates.fallback, null);
  });
  it("of a folder come in pairs", () => {
    const [crt, key] = [server.cert, server.key];
    const say = (contents: Readonly<Record<string, string>>): string =>
      only({ SALLYPORT_CERT_DIR: "/d" }, contents)
        .map(({ name, message }) => `${name}: ${message}`)
        .join();
    assert.equal(say({ "/d/x.crt": crt }), "SALLYPORT_CERT_DIR: x.crt has no x.key beside it");
    assert.equal(say({ "/d/x.key": key }), "SALLYPORT_CERT_DIR: x.key has no x.crt beside it");
    assert.equal(say({}), "SALLYPORT_CERT_DIR: /d holds no NAME.crt");
    assert.match(say({ "/d/x.crt": "", "/d/x.key": key }), /x\.crt: holds no certificate/);
    assert.match(say({ "/d/x.crt": crt, "/d/x.key": "" }), /x\.key: the private key can't be read/);
    assert.equal(say({ "/d/x.crt": crt, "/d/x.key": key, "/d/README": "" }), "");
  });

  it("must cover every name of a terminated route, unless SALLYPORT_CERT serves the rest", () => {
    const contents = { "/d/x.crt": server.cert, "/d/x.key": server.key };
    const covered = (url: string) => only({ SALLYPORT_CERT_DIR: "/d", SALLYPORT_ROUTE_A: url }, contents);
    assert.deepEqual(covered(tcp("a")), []);
    assert.deepEqual(covered("tcp://h:1?sni=*.example.com"), []);
    assert.deepEqual(covered("tls://h?sni=a.example.net"), []);
    for (const name of [
      "a.example.net",
      "a.b.example.com",
      "example.com",
      "{a}.{b}.example.com",
      "*.b.example.com",
    ]) {
      const [found, ...more] = covered(`tcp://h:1?sni=${name}`);
      assert.equal(more.length, 0);
      assert.equal(found?.name, "SALLYPORT_ROUTE_A");
      assert.ok(found?.message.startsWith(`no certificate for ${name}: set SALLYPORT_CERT`), found?.message);
      assert.match(
        load({ SALLYPORT_ROUTE_A: `tcp://h:1?sni=${name}` }).warnings.join(),
        /SALLYPORT_ROUTE_A: no certificate covers/,
      );
    }
    assert.match(covered("tcp://h:1?port=9000")[0]?.message ?? "", /has no sni=, so it needs SALLYPORT_CERT/);
    assert.deepEqual(load({ SALLYPORT_ROUTE_A: tcp("a") }).warnings, []);
  });
  it("that have expired are warned of", async () => {
    const old = await authority.server(["localhost"], hourMs, Date.now() - 3 * hourMs);
    const { warnings } = load({ SALLYPORT_CERT: old.cert, SALLYPORT_KEY: old.key });
    assert.match(warnings.join(), /the certificate SALLYPORT_CERT expired on 2/);
  });
  it("are not needed where TLS only passes through", () => {
    const env = {
      ...base,
      SALLYPORT_CERT: "",
      SALLYPORT_KEY: "",
      SALLYPORT_ROUTE_A: "tls://h?sni=a.example.com",
    };
    assert.equal(loadConfig(env, schemes, folder({})).table.routes.length, 1);
  });
});
