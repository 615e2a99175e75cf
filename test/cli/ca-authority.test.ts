import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { createAuthority } from "../../src/authority/authority.ts";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { ca } from "../../src/cli/ca.ts";
import { UsageError } from "../../src/cli/command.ts";
import type { Refusal } from "../../src/errors.ts";
import { parseCertificate } from "../../src/identity/certificate.ts";
import { RevocationLists } from "../../src/identity/revocation/lists.ts";
import { KnownRevocations } from "../../src/identity/revocation/revocation.ts";
import { createClientVerifier } from "../../src/identity/verifier.ts";
import { listsIn } from "../../src/revocation/read-lists.ts";
import { skipWithoutOpenssl } from "../support/openssl.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-ca-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const text = (name: string): string => readFileSync(at(name), "utf8");

async function run(...args: readonly string[]): Promise<string[]> {
  const lines: string[] = [];
  const io = { env: {}, out: (line: string) => void lines.push(line), err: () => {} };
  assert.equal(await ca.run(args, io), 0);
  return lines;
}
const usageError = (words: RegExp) => (error: unknown) =>
  error instanceof UsageError && words.test(error.message);
const openssl = (...args: readonly string[]) => spawnSync("openssl", args, { encoding: "utf8" });

/** Who a certificate in a file is, to a router that trusts that authority. */
async function verified(dir: string, certificate: string) {
  const chain = certificatesFromPem(text(`${certificate}.crt`));
  const [leaf = new Uint8Array(0)] = chain;
  const verifier = createClientVerifier(certificatesFromPem(text(`${dir}/ca.crt`)));
  return (await verifier.verify({ leaf, chain: () => chain }, Date.now())).identity;
}

function parsed(file: string) {
  const [der = new Uint8Array(0)] = certificatesFromPem(text(file));
  const certificate = parseCertificate(der);
  if ("malformed" in certificate) throw new Error(certificate.malformed);
  return certificate;
}
const serialOf = (file: string): string => new X509Certificate(text(file)).serialNumber.toLowerCase();
const listed = (file: string) => listsIn(readFileSync(at(file)))[0];

describe("an authority in a folder", () => {
  const ready = run("init", "--dir", at("a"), "--name", "A");

  it("is a root, and one below it that issues and makes no further ones", async () => {
    await ready;
    assert.deepEqual(parsed("a/ca.crt").basicConstraints, { ca: true, pathLength: 1 });
    const issuing = parsed("a/issuing.crt");
    assert.deepEqual(issuing.basicConstraints, { ca: true, pathLength: 0 });
    assert.deepEqual(issuing.canonicalIssuer, parsed("a/ca.crt").canonicalSubject);
    assert.ok(
      new X509Certificate(text("a/issuing.crt")).verify(new X509Certificate(text("a/ca.crt")).publicKey),
    );
  });

  it("issues when the root's key is somewhere else", async () => {
    await ready;
    await run("init", "--dir", at("offline"));
    rmSync(at("offline/ca.key"));
    await run("issue", "--dir", at("offline"), "--cn", "x", "--out", at("x"));
    assert.equal((await verified("offline", "x")).commonName, "x");
    await run("revoke", "--dir", at("offline"), "--cert", at("x.crt"));
    await assert.rejects(run("renew", "--dir", at("offline")), usageError(/the root's key is needed/));
  });

  it("of one key, as they were made before, issues still", async () => {
    const { cert, key } = await createAuthority("Old");
    await run("init", "--dir", at("old"));
    for (const name of ["issuing.crt", "issuing.key", "ca.crl"]) rmSync(at(`old/${name}`));
    writeFileSync(at("old/ca.crt"), cert);
    writeFileSync(at("old/ca.key"), key);
    await run("issue", "--dir", at("old"), "--cn", "y", "--out", at("y"));
    assert.equal((await verified("old", "y")).commonName, "y");
    await run("revoke", "--dir", at("old"), "--cert", at("y.crt"));
    assert.ok(listed("old/ca.crl")?.revoked.has(serialOf("y.crt")));
  });

  it("writes limits, and groups where nobody else could have written them", async () => {
    await ready;
    const limits = ["--source", "10.0.0.0/8", "--source", "2001:db8::/33", "--route", "orders"];
    await run("issue", "--dir", at("a"), "--cn", "m", "--group", "ops", ...limits, "--out", at("m"));
    const identity = await verified("a", "m");
    assert.deepEqual(identity.sources, ["10.0.0.0/8", "2001:db8::/33"]);
    assert.deepEqual(identity.routes, ["orders"]);
    assert.deepEqual(identity.groups, ["ops"]);
    assert.deepEqual(parsed("m.crt").grants?.groups, ["ops"]);
  });

  it("makes long-lived certificates by force alone", async () => {
    await ready;
    const start = ["issue", "--dir", at("a"), "--cn", "l", "--out", at("l"), "--lifetime"];
    for (const bad of ["25h", "4m"])
      await assert.rejects(run(...start, bad), usageError(/expected 5m to 24h, or --force/));
    await run(...start, "30d", "--force");
    assert.ok(parsed("l.crt").notAfter > Date.now() + 29 * 86_400_000);
  });

  for (const algorithm of ["ecdsa", "ed25519", "rsa"]) {
    it(`signs with ${algorithm}, and its certificates are accepted by us and by OpenSSL`, {
      skip: skipWithoutOpenssl,
    }, async () => {
      const dir = `by-${algorithm}`;
      await run("init", "--dir", at(dir), "--algorithm", algorithm);
      await run(
        "issue",
        "--dir",
        at(dir),
        "--cn",
        "z",
        "--group",
        "g",
        "--out",
        at(`z-${algorithm}`),
        "--algorithm",
        algorithm,
      );
      assert.equal((await verified(dir, `z-${algorithm}`)).commonName, "z");
      for (const [file, purpose] of [
        [`z-${algorithm}`, "sslclient"],
        [`s-${algorithm}`, "sslserver"],
      ] as const) {
        if (purpose === "sslserver")
          await run(
            "server",
            "--dir",
            at(dir),
            "--name",
            "a.example.com",
            "--out",
            at(file),
            "--algorithm",
            algorithm,
          );
        const { stdout, stderr } = openssl(
          "verify",
          "-purpose",
          purpose,
          "-x509_strict",
          "-crl_check",
          "-CAfile",
          at(`${dir}/ca.crt`),
          "-CRLfile",
          at(`${dir}/ca.crl`),
          "-untrusted",
          at(`${file}.crt`),
          at(`${file}.crt`),
        );
        assert.match(stdout, /: OK/, stderr);
      }
    });
  }

  it("limited to domains vouches for no others", async () => {
    const permit = [
      "--permit-dns",
      "example.com",
      "--permit-email",
      "example.com",
      "--permit-uri",
      "example.com",
    ];
    await run("init", "--dir", at("limited"), ...permit);
    const issue = (...flags: string[]) =>
      run("issue", "--dir", at("limited"), "--cn", "p", ...flags, "--out", at("p"));
    await issue("--dns", "a.example.com", "--email", "p@example.com", "--uri", "spiffe://example.com/p");
    assert.equal((await verified("limited", "p")).spiffe, "spiffe://example.com/p");
    const before = text("p.crt");
    for (const other of [
      ["--dns", "a.example.org"],
      ["--email", "p@a.example.com"],
      ["--uri", "spiffe://example.org/p"],
    ])
      await assert.rejects(issue(...other), usageError(/can't vouch for .* is not among the permitted/));
    await assert.rejects(
      run("server", "--dir", at("limited"), "--name", "a.example.org", "--out", at("p")),
      usageError(/can't vouch for .*"a\.example\.org"/),
    );
    assert.equal(text("p.crt"), before);
    await assert.rejects(
      run("init", "--dir", at("odd"), "--permit-dns", "*.example.com"),
      usageError(/--permit-dns/),
    );
  });
});

describe("ca init --force", () => {
  it("takes nothing over from the authority that was there", async () => {
    await run("init", "--dir", at("f"));
    await run("token", "--dir", at("f"), "--cn", "x");
    await run("revoke", "--dir", at("f"), "--serial", "0a");
    await run("renew", "--dir", at("f"));
    await run("ssh", "--dir", at("f"));
    await run("init", "--dir", at("f"), "--force");
    const left = readdirSync(at("f")).sort();
    assert.deepEqual(left, ["ca.crl", "ca.crt", "ca.key", "issuing.crt", "issuing.key"]);
    assert.equal(listed("f/ca.crl")?.revoked.size, 0);
  });

  it("is not needed in a folder without one, and nothing of that is touched", async () => {
    mkdirSync(at("g/tokens"), { recursive: true });
    writeFileSync(at("g/tokens/mine"), "x");
    await run("init", "--dir", at("g"));
    assert.equal(text("g/tokens/mine"), "x");
  });
});

describe("ca renew", () => {
  /** Why a certificate in a file is refused by who heeds the authority's list, or `null`. */
  async function refusal(certificate: string): Promise<string | null> {
    const chain = certificatesFromPem(text(`${certificate}.crt`));
    const [leaf = new Uint8Array(0)] = chain;
    const lists = new RevocationLists(listsIn(readFileSync(at("n/ca.crl"))), "hard", []);
    const nobody = { serials: new Set<string>(), hashes: new Set<string>() };
    const revocation = new KnownRevocations(lists, nobody, null);
    const verifier = createClientVerifier(certificatesFromPem(text("n/ca.crt")), { revocation });
    return verifier.verify({ leaf, chain: () => chain }, Date.now()).then(
      () => null,
      (error: Refusal) => error.reason,
    );
  }

  it("keeps name, limits and kind of key, what was issued good, and what was revoked out", async () => {
    await run(
      "init",
      "--dir",
      at("n"),
      "--name",
      "N",
      "--algorithm",
      "ed25519",
      "--permit-dns",
      "example.com",
    );
    for (const name of ["kept", "lost", "late"])
      await run("issue", "--dir", at("n"), "--cn", name, "--out", at(name));
    await run("revoke", "--dir", at("n"), "--cert", at("lost.crt"));
    const before = parsed("n/issuing.crt");
    for (let i = 0; i < 2; i++) await run("renew", "--dir", at("n"));
    const renewed = parsed("n/issuing.crt");
    assert.deepEqual(renewed.canonicalSubject, before.canonicalSubject);
    assert.deepEqual(renewed.nameConstraints, before.nameConstraints);
    assert.notDeepEqual(renewed.spki, before.spki);
    assert.equal(renewed.spki.length, before.spki.length);
    await run("issue", "--dir", at("n"), "--cn", "new", "--out", at("new"));
    await run("revoke", "--dir", at("n"), "--cert", at("late.crt"));
    const out = ["kept", "lost", "late", "new"].map(refusal);
    assert.deepEqual(await Promise.all(out), [null, "client_cert_revoked", "client_cert_revoked", null]);
    assert.equal(readdirSync(at("n/retired")).length, 4);
  });
});

describe("ca revoke and ca crl", () => {
  const ready = run("init", "--dir", at("r"));
  const certificate = async (name: string): Promise<string> => {
    await ready;
    await run("issue", "--dir", at("r"), "--cn", name, "--out", at(name));
    return serialOf(`${name}.crt`);
  };

  it("list a certificate by its file, and by its number in any writing", async () => {
    const [one, two] = [await certificate("one"), await certificate("two")];
    const before = listed("r/ca.crl")?.number ?? "";
    await run("revoke", "--dir", at("r"), "--cert", at("one.crt"), "--reason", "keyCompromise");
    const colons = two.toUpperCase().match(/../g)?.join(":") ?? "";
    assert.deepEqual(await run("revoke", "--dir", at("r"), "--serial", colons), [at("r/ca.crl")]);
    const list = listed("r/ca.crl");
    assert.deepEqual([...(list?.revoked ?? [])].sort(), [one, two].sort());
    assert.ok(BigInt(`0x${list?.number}`) > BigInt(`0x${before}`), "numbers grow");
  });

  it("twice is once, and the first time counts", async () => {
    const serial = await certificate("twice");
    for (let i = 0; i < 2; i++) await run("revoke", "--dir", at("r"), "--cert", at("twice.crt"));
    assert.ok(listed("r/ca.crl")?.revoked.has(serial));
  });

  it("by two at once lose nobody", async () => {
    await ready;
    const serials = Array.from({ length: 8 }, (_, i) => `aa${i}0`);
    await Promise.all(serials.map((serial) => run("revoke", "--dir", at("r"), "--serial", serial)));
    await run("crl", "--dir", at("r"), "--out", at("all.crl"), "--lifetime", "1h");
    const list = listed("all.crl");
    assert.ok(serials.every((serial) => list?.revoked.has(serial)));
    assert.ok((list?.nextUpdate ?? 0) < Date.now() + 2 * 3_600_000);
  });

  it("are read by OpenSSL", { skip: skipWithoutOpenssl }, async () => {
    const serial = await certificate("lost");
    await run("revoke", "--dir", at("r"), "--cert", at("lost.crt"), "--reason", "superseded");
    const { stdout } = openssl(
      "crl",
      "-in",
      at("r/ca.crl"),
      "-noout",
      "-text",
      "-CAfile",
      at("r/issuing.crt"),
    );
    assert.match(stdout, new RegExp(`Serial Number: ${serial}`, "i"));
    assert.match(stdout, /Superseded/);
    const verify = openssl(
      "verify",
      "-crl_check",
      "-CAfile",
      at("r/ca.crt"),
      "-CRLfile",
      at("r/ca.crl"),
      "-untrusted",
      at("lost.crt"),
      at("lost.crt"),
    );
    assert.match(verify.stderr, /certificate revoked/);
  });

  it("refuse what they can't mean", async () => {
    await certificate("mine");
    await run("init", "--dir", at("foreign"), "--name", "Foreign");
    await run("issue", "--dir", at("foreign"), "--cn", "theirs", "--out", at("theirs"));
    const start = ["revoke", "--dir", at("r")];
    await assert.rejects(run(...start), usageError(/which certificate\?/));
    await assert.rejects(
      run(...start, "--cert", at("mine.crt"), "--serial", "01"),
      usageError(/which certificate\?/),
    );
    await assert.rejects(run(...start, "--serial", "xyz"), usageError(/^--serial/));
    await assert.rejects(
      run(...start, "--cert", at("theirs.crt")),
      usageError(/issued by another authority/),
    );
    await assert.rejects(run(...start, "--cert", at("nowhere")), usageError(/^--cert/));
    await assert.rejects(run(...start, "--serial", "01", "--reason", "boredom"), usageError(/^--reason/));
    await assert.rejects(run("crl", "--dir", at("none")), usageError(/holds no authority/));
  });
});

describe("a passphrase on the root's key", () => {
  const file = at("passphrase");
  writeFileSync(file, "correct horse battery\nignored\n");

  it("keeps it from everybody else, and OpenSSL opens it too", { skip: skipWithoutOpenssl }, async () => {
    await run("init", "--dir", at("p1"), "--passphrase-file", file);
    assert.match(text("p1/ca.key"), /BEGIN ENCRYPTED PRIVATE KEY/);
    assert.doesNotMatch(text("p1/issuing.key"), /ENCRYPTED/);
    const good = openssl(
      "pkey",
      "-in",
      at("p1/ca.key"),
      "-passin",
      "pass:correct horse battery",
      "-noout",
      "-check",
    );
    assert.equal(good.status, 0, good.stderr);
    assert.notEqual(
      openssl("pkey", "-in", at("p1/ca.key"), "-passin", "pass:wrong horse", "-noout").status,
      0,
    );
  });

  it("is needed for a new issuing authority, whose certificates are good beside the old ones'", async () => {
    await run("init", "--dir", at("p2"), "--passphrase-file", file);
    await run("issue", "--dir", at("p2"), "--cn", "before", "--out", at("before"));
    const old = text("p2/issuing.crt");
    await assert.rejects(run("renew", "--dir", at("p2")), usageError(/encrypted: expected its passphrase/));
    writeFileSync(at("wrong"), "not the passphrase\n");
    await assert.rejects(
      run("renew", "--dir", at("p2"), "--passphrase-file", at("wrong")),
      usageError(/its passphrase is another one/),
    );
    assert.equal(text("p2/issuing.crt"), old);
    await run("renew", "--dir", at("p2"), "--passphrase-file", file);
    assert.notEqual(text("p2/issuing.crt"), old);
    await run("issue", "--dir", at("p2"), "--cn", "after", "--out", at("after"));
    for (const name of ["before", "after"]) assert.equal((await verified("p2", name)).commonName, name);
  });

  it("is no trifle, and says nothing of itself", async () => {
    writeFileSync(at("short"), "abc\n");
    await assert.rejects(run("init", "--dir", at("p3"), "--passphrase-file", at("short")), (error: Error) => {
      assert.match(error.message, /8 characters at least/);
      return !error.message.includes("abc");
    });
    await assert.rejects(
      run("init", "--dir", at("p3"), "--passphrase-file", at("nothing")),
      usageError(/can't be read/),
    );
  });
});
