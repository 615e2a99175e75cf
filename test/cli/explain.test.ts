import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { explain } from "../../src/cli/explain.ts";
import { authority, base, hourMs } from "../support/environment.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-explain-"));
after(() => rmSync(folder, { recursive: true }));
const stranger = await Authority.open(await createAuthority("Somebody else"));

function save(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}
const alice = save("alice", (await authority.client({ commonName: "alice", groups: ["ops"] }, hourMs)).cert);
const bob = save("bob", (await authority.client({ commonName: "bob" }, hourMs)).cert);
const late = save(
  "late",
  (await authority.client({ commonName: "alice", groups: ["ops"] }, hourMs, Date.now() - 3 * hourMs)).cert,
);
const mallory = save(
  "mallory",
  (await stranger.client({ commonName: "alice", groups: ["ops"] }, hourMs)).cert,
);

const env = {
  ...base,
  SALLYPORT_ROUTE_DB: "tcp://{n}.db.internal:5432?sni={n}.db.example.com&allow=group:ops",
  SALLYPORT_ROUTE_OPEN: "https://web.internal?sni=web.example.com&client=none",
  SALLYPORT_ROUTE_HALF: "http://web.internal?sni=half.example.com&client=optional",
  SALLYPORT_ROUTE_PASS: "tls://10.0.0.1?sni=pass.example.net&source=10.0.0.0/8",
};

async function run(...args: string[]): Promise<{ status: number; out: string }> {
  return runIn(env, ...args);
}

async function runIn(
  env: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<{ status: number; out: string }> {
  const out: string[] = [];
  const status = await explain.run(args, { env, out: (line) => void out.push(line), err: () => {} });
  return { status, out: out.join("\n") };
}

async function json(...args: string[]) {
  const { status, out } = await run(...args, "--json");
  assert.equal(status, 0);
  return JSON.parse(out);
}

describe("explain", () => {
  it("says who is denied", async () => {
    const { fingerprint256 } = new X509Certificate(readFileSync(alice));
    const denied = { ...env, SALLYPORT_DENY: save("deny", `${fingerprint256} # lost\n`) };
    const question = ["--sni", "one.db.example.com", "--alpn", "sallyport-tcp", "--cert"];
    assert.match(
      (await runIn(denied, ...question, alice)).out,
      /refused, client_cert_revoked: .*denied by its SHA-256/,
    );
    assert.doesNotMatch((await run(...question, alice)).out, /revoked/);
  });

  it("says which route, what happens there, and why no other", async () => {
    const { status, out } = await run(
      "--sni",
      "one.db.example.com",
      "--alpn",
      "sallyport-tcp",
      "--cert",
      alice,
    );
    assert.equal(status, 0);
    assert.match(out, /^route db \(SALLYPORT_ROUTE_DB\)$/m);
    assert.match(out, /^ {2}adapter +tcp, ALPN sallyport-tcp$/m);
    assert.match(out, /^ {2}certificate +SALLYPORT_CERT$/m);
    assert.match(out, /^ {2}client +CN=alice.*: admitted by group:ops$/m);
    assert.match(out, /^ {2}upstream +one\.db\.internal:5432$/m);
    for (const other of ["open", "half", "pass", "sallyport"])
      assert.match(out, new RegExp(`^ {2}not ${other}: serves `, "m"));
    assert.ok(!out.includes("not db"));
  });

  for (const [who, flags, reason] of [
    ["the right group", ["--cert", alice], "ok"],
    ["no certificate", [], "client_cert_missing"],
    ["another group", ["--cert", bob], "identity_not_allowed"],
    ["an expired certificate", ["--cert", late], "client_cert_expired"],
    ["another authority", ["--cert", mallory], "client_cert_untrusted"],
  ] as const) {
    it(`tells what becomes of ${who}`, async () => {
      const answer = await json("--sni", "one.db.example.com", ...flags);
      assert.equal(answer.route, "db");
      assert.equal(answer.reason, reason);
      assert.equal(answer.outcome, reason === "ok" ? "admitted" : "refused");
    });
  }

  it("knows routes that ask for no certificate, or do not insist", async () => {
    const open = await json("--sni", "web.example.com", "--alpn", "h2");
    assert.deepEqual([open.outcome, open.alpn, open.upstream_tls], ["admitted", "h2", "verify"]);
    assert.match(open.client, /no client certificate is asked for/);
    assert.equal((await json("--sni", "half.example.com")).outcome, "admitted");
    assert.equal(
      (await json("--sni", "half.example.com", "--cert", mallory)).reason,
      "client_cert_untrusted",
    );
  });

  it("looks at the source, and says what the client hears", async () => {
    const inside = await json("--sni", "pass.example.net", "--source", "10.1.2.3");
    assert.deepEqual([inside.route, inside.server_certificate], ["pass", null]);
    const outside = await json("--sni", "pass.example.net");
    assert.deepEqual(
      [outside.outcome, outside.reason, outside.alert],
      ["refused", "source_not_allowed", "access_denied"],
    );
  });

  it("says what the client hears of a name or protocol that nobody serves", async () => {
    const name = await json("--sni", "nobody.example.com");
    assert.deepEqual([name.reason, name.alert], ["unknown_name", "unrecognized_name"]);
    assert.equal(name.others.length, 5);
    const { out } = await run("--sni", "one.db.example.com", "--alpn", "imap");
    assert.match(out, /^refused: no_protocol .*imap/);
    assert.match(out, /TLS alert no_application_protocol/);
    assert.match(out, /not db: serves the protocols sallyport-tcp/);
    assert.equal((await json()).reason, "unknown_name");
  });

  it("knows the router's own pages", async () => {
    const answer = await json("--sni", "localhost");
    assert.deepEqual([answer.route, answer.adapter, answer.upstream], ["sallyport", "app", null]);
  });

  it("names the flag at fault", async () => {
    const expected = { name: "UsageError" };
    await assert.rejects(run("--sni", "a", "--source", "nowhere"), {
      ...expected,
      message: /--source nowhere is no IP/,
    });
    const sni = ["--sni", "one.db.example.com", "--cert"];
    await assert.rejects(run(...sni, join(folder, "none")), {
      ...expected,
      message: /^--cert .*no such file/,
    });
    await assert.rejects(run(...sni, save("empty", "")), { ...expected, message: /holds no certificate/ });
    const broken = save("broken", "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n");
    await assert.rejects(run(...sni, broken), expected);
    await assert.rejects(run("--name", "a"), expected);
  });
});
