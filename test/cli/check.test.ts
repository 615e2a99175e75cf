import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { ca } from "../../src/cli/ca.ts";
import { check } from "../../src/cli/check.ts";
import { ConfigError } from "../../src/errors.ts";
import { root } from "../support/crafted-certificates.ts";
import { crl, crlPem } from "../support/crafted-crl.ts";
import { base, server, type Variables } from "../support/environment.ts";

async function run(variables: Variables, ...args: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const io = {
    env: { ...base, ...variables },
    out: (line: string) => void out.push(line),
    err: (line: string) => void err.push(line),
  };
  const status = await check.run(args, io);
  return { status, out: out.join("\n"), err: err.join("\n") };
}

const routes = {
  SALLYPORT_ROUTE_DB:
    "tcp://{n}.db.internal:5432?sni={n}.example.com&allow=cn:alice&allow=group:ops&source=10.0.0.0/8&port=9000",
  SALLYPORT_ROUTE_WEB: "https://[2001:db8::1]?sni=web.example.com&client=none&max_connections=9",
  SALLYPORT_ROUTE_PASS: "tls://10.0.0.1?sni=pass.example.net",
};

describe("check", () => {
  it("prints the routing table", async () => {
    const { status, out, err } = await run(routes);
    assert.equal(status, 0);
    assert.equal(err, "");
    const rows = out.split("\n").map((line) => line.split(/ {2,}/));
    assert.deepEqual(rows, [
      ["ROUTE", "SCHEME", "NAMES", "ALPN", "CLIENT", "UPSTREAM"],
      [
        "db",
        "tcp",
        "{n}.example.com port 9000",
        "sallyport-tcp",
        "required: cn:alice or group:ops",
        "{n}.db.internal:5432",
      ],
      ["pass", "tls", "pass.example.net", "any", "-", "10.0.0.1:443"],
      ["web", "https", "web.example.com", "h2 http/1.1 sallyport-http", "-", "[2001:db8::1]:443"],
      ["sallyport", "app", "localhost", "h2 http/1.1 sallyport-auth", "optional", "-"],
    ]);
  });

  it("prints what revocation lists say, and which are to be asked for", async () => {
    const list = crlPem(crl(root(), { revoked: ["01", "02"], nextUpdate: Date.UTC(2040, 0) }));
    const { out } = await run({ SALLYPORT_CRL: list });
    assert.match(
      out,
      /revocation list PEM text: CN=Test Root, 2 revoked, next update 2040-01-01T00:00:00\.000Z/,
    );
    const remote = await run({ SALLYPORT_CRL: "https://crl.example.com/a.crl" });
    assert.match(remote.out, /revocation list https:\/\/crl\.example\.com\/a\.crl: to be asked for/);
  });

  it("prints it as JSON", async () => {
    const { status, out } = await run(routes, "--json");
    assert.equal(status, 0);
    const answer = JSON.parse(out);
    assert.deepEqual(answer.listen, { host: "0.0.0.0", port: 8443 });
    assert.deepEqual(answer.warnings, []);
    assert.deepEqual(answer.routes[0], {
      name: "db",
      scheme: "tcp",
      sni: ["{n}.example.com"],
      alpn: ["sallyport-tcp"],
      client: "required",
      login: null,
      crl: [],
      expiry_grace_ms: 30_000,
      allow: ["cn:alice", "group:ops"],
      source: ["10.0.0.0/8"],
      port: 9000,
      upstream: "{n}.db.internal:5432",
      upstream_tls: "off",
      send_proxy: null,
      idle_timeout_ms: 3_600_000,
      max_connections: null,
    });
  });

  it("prints no key", async () => {
    const key = server.key.split("\n")[1] ?? "";
    const variables = {
      ...routes,
      SALLYPORT_ROUTE_MTLS: `https://h?sni=m.example.com&upstream_cert=\${C}&upstream_key=\${K}`,
      C: server.cert,
      K: server.key,
    };
    for (const flags of [[], ["--json"]]) {
      const { out, err } = await run(variables, ...flags);
      assert.ok(out.includes("m.example.com"));
      assert.ok(!`${out}${err}`.includes(key));
    }
  });

  it("prints warnings to standard error", async () => {
    const { status, out, err } = await run({ SALLYPORT_ROUTE_A: "tcp://h:1?sni=a.example.net" });
    assert.equal(status, 0);
    assert.match(err, /^warning: SALLYPORT_ROUTE_A: no certificate covers a\.example\.net/);
    assert.ok(!out.includes("warning"));
  });

  it("fails with every problem where the router would not start", () =>
    assert.rejects(run({ SALLYPORT_LISTEN: "x", SALLYPORT_ROUTE_A: "x" }), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.deepEqual(
        error.problems.map(({ name }) => name),
        ["SALLYPORT_LISTEN", "SALLYPORT_ROUTE_A"],
      );
      return true;
    }));

  it("knows its flags", () => assert.rejects(run({}, "--jsn"), { name: "UsageError" }));
});

describe("check, where there is an authority", () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-check-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const dir = join(folder, "ca");
  const made = ca.run(["init", "--dir", dir], { env: {}, out: () => {}, err: () => {} });
  const variables = {
    SALLYPORT_AUTHORITY: dir,
    SALLYPORT_CLIENT_CA: join(dir, "ca.crt"),
    SALLYPORT_OIDC_CI: "https://ci.example.com?audience=gate&require=repository:acme/app",
  };
  const refused = (name: string) => (error: unknown) =>
    error instanceof ConfigError && error.problems[0]?.name === name;

  it("shows it, and who vouches for whom", async () => {
    await made;
    const { status, out } = await run(variables);
    assert.equal(status, 0);
    assert.match(out, /^AUTHORITY +.*ca$/m);
    assert.match(out, /^PROVIDER +ci: https:\/\/ci\.example\.com, for gate: repository:acme\/app$/m);
    const { authority } = JSON.parse((await run(variables, "--json")).out);
    assert.equal(authority.lifetime_ms, 8 * 3_600_000);
    assert.deepEqual(authority.providers[0].require, [["repository:acme/app"]]);
  });

  it("refuses one that is not there, that nobody trusts, or that can't be reached", async () => {
    await made;
    await assert.rejects(run({ ...variables, SALLYPORT_AUTHORITY: folder }), refused("SALLYPORT_AUTHORITY"));
    const others = { ...variables, SALLYPORT_CLIENT_CA: base.SALLYPORT_CLIENT_CA ?? "" };
    await assert.rejects(run(others), refused("SALLYPORT_CLIENT_CA"));
    const noPages = { ...variables, SALLYPORT_CERT: "", SALLYPORT_KEY: "" };
    await assert.rejects(run(noPages), refused("SALLYPORT_AUTHORITY"));
  });

  it("refuses a key for assertions that can't be one", async () => {
    await assert.rejects(run({ SALLYPORT_JWT_KEY: "-----BEGIN X" }), refused("SALLYPORT_JWT_KEY"));
    assert.equal((await run({ SALLYPORT_JWT_KEY: server.key })).status, 0);
  });
});
