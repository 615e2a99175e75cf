import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { ca } from "../../src/cli/ca.ts";
import { UsageError } from "../../src/cli/command.ts";
import { createClientVerifier } from "../../src/identity/verifier.ts";
import { noRouters } from "../../src/peer/certificate.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-ca-"));
after(() => rmSync(folder, { recursive: true, force: true }));

async function run(...args: readonly string[]): Promise<string[]> {
  const lines: string[] = [];
  const io = { env: {}, out: (line: string) => void lines.push(line), err: () => {} };
  assert.equal(await ca.run(args, io), 0);
  return lines;
}

const usageError = (words: RegExp) => (error: unknown) =>
  error instanceof UsageError && words.test(error.message);

const dir = join(folder, "authority");
const at = (name: string): string => join(folder, name);
const text = (name: string): string => readFileSync(at(name), "utf8");
const mode = (name: string): number => statSync(at(name)).mode & 0o777;
const made = run("init", "--dir", dir, "--name", "Example");

describe("ca init", () => {
  it("makes an authority whose key is its owner's alone", async () => {
    const files = ["ca.crt", "ca.key", "issuing.crt", "issuing.key", "ca.crl"];
    assert.deepEqual(
      await made,
      files.map((name) => `${dir}/${name}`),
    );
    assert.equal(new X509Certificate(text("authority/ca.crt")).subject, "CN=Example");
    for (const key of ["ca.key", "issuing.key"]) assert.equal(mode(`authority/${key}`), 0o600);
    assert.deepEqual(readdirSync(dir).sort(), [...files].sort());
  });

  it("does not replace an authority, but by force", async () => {
    await made;
    const other = at("other");
    await run("init", "--dir", other);
    const before = text("other/ca.key");
    await assert.rejects(run("init", "--dir", other), usageError(/holds an authority already; --force/));
    assert.equal(text("other/ca.key"), before);
    await run("init", "--dir", other, "--force");
    assert.notEqual(text("other/ca.key"), before);
  });

  it("refuses a name that is none, and says which flag", async () => {
    await assert.rejects(run("init", "--dir", at("x"), "--name", " "), usageError(/^--name: /));
    await assert.rejects(run("init"), usageError(/^--dir is missing/));
  });
});

describe("ca issue", () => {
  it("makes a client certificate that the authority's verifier takes", async () => {
    await made;
    const out = at("alice");
    const flags = ["--cn", "alice", "--org", "Example", "--group", "payments", "--group", "ops"];
    const names = ["--email", "alice@example.com", "--uri", "spiffe://example.com/alice"];
    const lines = await run(
      "issue",
      "--dir",
      dir,
      ...flags,
      ...names,
      "--out",
      out,
      "--lifetime",
      "30m",
      "--json",
    );
    assert.deepEqual(JSON.parse(lines.join("")), { certificate: `${out}.crt`, key: `${out}.key` });
    assert.equal(mode("alice.key"), 0o600);
    const [anchor] = certificatesFromPem(text("authority/ca.crt"));
    const chain = certificatesFromPem(text("alice.crt"));
    const [leaf] = chain;
    assert.ok(anchor !== undefined && leaf !== undefined);
    assert.equal(chain.length, 2, "the issuing authority follows, the root does not");
    const verifier = createClientVerifier([anchor]);
    const { identity, notAfter } = await verifier.verify({ leaf, chain: () => chain }, Date.now());
    assert.equal(identity.subject, "CN=alice,OU=ops,OU=payments,O=Example");
    assert.equal(identity.spiffe, "spiffe://example.com/alice");
    assert.ok(Math.abs(notAfter - Date.now() - 30 * 60_000) < 60_000);
    assert.ok(new X509Certificate(text("alice.crt")).checkPrivateKey(createPrivateKey(text("alice.key"))));
  });

  it("lasts eight hours unless told", async () => {
    await made;
    await run("issue", "--dir", dir, "--cn", "bob", "--out", at("bob"));
    const { validTo } = new X509Certificate(text("bob.crt"));
    assert.ok(Math.abs(Date.parse(validTo) - Date.now() - 8 * 3_600_000) < 60_000);
  });

  it("refuses what can't stand in a certificate, and says which flag", async () => {
    await made;
    const start = ["issue", "--dir", dir, "--out", at("bad")];
    await assert.rejects(run(...start), usageError(/^--cn is missing/));
    await assert.rejects(run(...start, "--cn", "a\nb"), usageError(/^--cn: /));
    const flags: readonly (readonly [string, string])[] = [
      ["--org", ""],
      ["--group", " x"],
      ["--email", "nobody"],
      ["--dns", "a b"],
      ["--uri", "spiffe://Example.com"],
      ["--lifetime", "soon"],
      ["--lifetime", "400d"],
      ["--lifetime", "0s"],
      ["--lifetime", "4m"],
      ["--lifetime", "25h"],
      ["--source", "10.0.0.1/8"],
      ["--route", "Orders"],
      ["--algorithm", "dsa"],
    ];
    for (const [flag, value] of flags) {
      await assert.rejects(run(...start, "--cn", "a", flag, value), usageError(new RegExp(`^${flag}`)), flag);
    }
    await assert.rejects(run(...start, "--cn", "a", "--no-such-flag"), UsageError);
    assert.ok(!readdirSync(folder).some((name) => name.startsWith("bad")));
  });

  it("does not write over the authority itself", async () => {
    await made;
    const before = text("authority/ca.key");
    for (const out of [`${dir}/ca`, `${dir}/../authority/ca`, `${dir}/issuing`]) {
      await assert.rejects(run("issue", "--dir", dir, "--cn", "a", "--out", out), usageError(/^--out/));
    }
    assert.equal(text("authority/ca.key"), before);
  });

  it("says so where there is no authority, or a broken one", async () => {
    await made;
    const start = ["issue", "--cn", "a", "--out", at("none")];
    await assert.rejects(run(...start, "--dir", at("nowhere")), usageError(/holds no authority.*ca init/));
    await run("init", "--dir", at("broken"));
    writeFileSync(at("broken/issuing.key"), text("authority/issuing.key"));
    await assert.rejects(
      run(...start, "--dir", at("broken")),
      usageError(/the key is not the certificate's/),
    );
  });
});

describe("ca server", () => {
  it("makes a server certificate for several names", async () => {
    await made;
    const names = ["--name", "a.example.com", "--name", "*.b.example.com", "--name", "127.0.0.1"];
    await run("server", "--dir", dir, ...names, "--out", at("server"));
    const certificate = new X509Certificate(text("server.crt"));
    const written = ["DNS:a.example.com", "DNS:*.b.example.com", "IP Address:127.0.0.1"];
    assert.deepEqual((certificate.subjectAltName ?? "").split(", "), written);
    assert.ok(certificate.checkPrivateKey(createPrivateKey(text("server.key"))));
    assert.equal(mode("server.key"), 0o600);
  });

  it("refuses what is no name, and says which flag", async () => {
    await made;
    const start = ["server", "--dir", dir, "--out", at("bad")];
    await assert.rejects(run(...start), usageError(/^--name is missing/));
    await assert.rejects(run(...start, "--name", "https://a"), usageError(/^--name: .*no DNS name/));
  });
});

describe("ca router", () => {
  it("makes a certificate that is good at both ends, for the name of all routers", async () => {
    await made;
    const who = ["--cn", "router-1", "--group", "routers"];
    await run("router", "--dir", dir, "--name", "gate.example.com", ...who, "--out", at("router"));
    const certificate = new X509Certificate(text("router.crt"));
    assert.equal(certificate.subjectAltName, "DNS:gate.example.com");
    assert.match(certificate.subject, /OU=routers\nCN=router-1/);
    assert.equal(noRouters(new Uint8Array(certificate.raw), "gate.example.com"), null);
    assert.equal(noRouters(new Uint8Array(certificate.raw), "example.com"), "it is not for example.com");
    assert.ok(certificate.checkPrivateKey(createPrivateKey(text("router.key"))));
    assert.equal(mode("router.key"), 0o600);
  });

  it("refuses what is no name, and says which flag", async () => {
    await made;
    const start = ["router", "--dir", dir, "--out", at("bad")];
    await assert.rejects(run(...start, "--cn", "r"), usageError(/^--name is missing/));
    await assert.rejects(run(...start, "--name", "a.example.com"), usageError(/^--cn is missing/));
    await assert.rejects(
      run(...start, "--cn", "r", "--name", "*.example.com"),
      usageError(/^--name: .*no DNS/),
    );
  });
});

describe("ca", () => {
  it("says what it can do", async () => {
    await assert.rejects(run(), usageError(/expected init, server, router, issue, token, revoke/));
    await assert.rejects(run("toString"), usageError(/there is no "ca toString"/));
  });
});
