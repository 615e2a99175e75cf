import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { challengeCertificate } from "../../src/acme/challenge-certificate.ts";
import { Challenges } from "../../src/acme/challenges.ts";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import type { AcmeConfig } from "../../src/config/acme.ts";
import { validatedName } from "../../src/core/validation.ts";
import { parseCertificate } from "../../src/identity/certificate.ts";
import { acmeFiles } from "../../src/runtime/acme-files.ts";
import { Turns } from "../../src/runtime/turns.ts";
import type { ClientHello } from "../../src/wire/client-hello.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-acme-"));
after(() => rmSync(folder, { recursive: true, force: true }));

describe("the certificate that a validation is shown (RFC 8737 §3)", () => {
  it("is self-signed, for the name alone, with the hash of the key authorization in a critical extension", async () => {
    const { cert, key } = await challengeCertificate("a.test", "token.thumbprint");
    const found = new X509Certificate(cert);
    assert.equal(found.subjectAltName, "DNS:a.test");
    assert.ok(found.verify(found.publicKey));
    assert.match(key, /BEGIN PRIVATE KEY/);
    const parsed = parseCertificate(certificatesFromPem(cert)[0] ?? new Uint8Array());
    assert.ok(!("malformed" in parsed), "it can be read");
    const extension = parsed.extensions.get("1.3.6.1.5.5.7.1.31");
    assert.equal(extension?.critical, true);
    const hash = createHash("sha256").update("token.thumbprint").digest();
    assert.deepEqual(Buffer.from(extension?.value ?? []), Buffer.concat([Buffer.of(4, 32), hash]));
  });
});

describe("a hello that validates", () => {
  const name = (alpn: readonly string[], serverName: string | null): string | null =>
    validatedName({ alpn, serverName } as ClientHello);
  it("offers acme-tls/1 and nothing else, for a name", () => {
    assert.equal(name(["acme-tls/1"], "A.test."), "a.test");
    for (const other of [
      [],
      ["h2"],
      ["acme-tls/1", "h2"],
      ["h2", "acme-tls/1"],
      ["acme-tls/1", "acme-tls/1"],
    ])
      assert.equal(name(other, "a.test"), null, other.join());
    for (const other of [null, "", "127.0.0.1", "../a", "a..test"])
      assert.equal(name(["acme-tls/1"], other), null, String(other));
  });
});

describe("challenges", () => {
  const config = (challenge: AcmeConfig["challenge"], names: readonly string[] = ["a.test"]): AcmeConfig => ({
    directory: "https://ca.test/dir",
    email: null,
    folder,
    ca: null,
    externalAccount: null,
    challenge,
    names,
  });
  let made = 0;
  const runtime = {
    tlsContext: () => {
      made++;
      return { requestsCertificate: false };
    },
  };

  it("are answered for our own names while somebody who shares the folder has one pending", async () => {
    let current: AcmeConfig | null = config("tls-alpn-01");
    const challenges = new Challenges(runtime, () => current, acmeFiles);
    // As another router would.
    const other = acmeFiles(folder);
    assert.equal(await challenges.contextFor("a.test"), null);
    await other.publish("tls-alpn-01", "a.test", "one");
    await other.publish("tls-alpn-01", "b.test", "one");
    const context = await challenges.contextFor("a.test");
    assert.notEqual(context, null);
    assert.equal(await challenges.contextFor("a.test"), context, "made once");
    assert.equal(await challenges.contextFor("b.test"), null, "no name of ours");
    await other.publish("tls-alpn-01", "a.test", "two");
    assert.notEqual(await challenges.contextFor("a.test"), context);
    assert.equal(made, 2);
    other.withdraw("tls-alpn-01", "a.test");
    assert.equal(await challenges.contextFor("a.test"), null);
    await other.publish("tls-alpn-01", "a.test", "three");
    current = config("http-01");
    assert.equal(await challenges.contextFor("a.test"), null, "another kind was asked for");
    current = null;
    assert.equal(await challenges.contextFor("a.test"), null);
  });

  it("by HTTP are answered by their token, and lead to no other file", async () => {
    const challenges = new Challenges(runtime, () => config("http-01"), acmeFiles);
    await acmeFiles(folder).publish("http-01", "tok_en-1", "tok_en-1.print");
    assert.equal(await challenges.answerTo("tok_en-1"), "tok_en-1.print");
    for (const other of ["", "..", "../tls-alpn-01/b.test", "tok_en-1/", "%2e%2e", "x".repeat(200)])
      assert.equal(await challenges.answerTo(other), null, other);
    const byTls = new Challenges(runtime, () => config("tls-alpn-01"), acmeFiles);
    assert.equal(await byTls.answerTo("tok_en-1"), null);
  });
});

describe("what is kept of a directory", () => {
  it("the account's key is the first that anybody made, readable by its owner alone", async () => {
    const at = join(folder, "keys");
    const made = await Promise.all(
      ["one", "two", "three"].map((key) => acmeFiles(at).accountKey(async () => key)),
    );
    assert.equal(new Set(made).size, 1);
    assert.equal(await acmeFiles(at).accountKey(async () => "four"), made[0]);
    assert.equal(statSync(join(at, "account.key")).mode & 0o777, 0o600);
    assert.equal(statSync(at).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(at), ["account.key"]);
  });

  it("failures are kept, and what is no failure says nothing", () => {
    const store = acmeFiles(join(folder, "failing"));
    assert.equal(store.failure("a.test"), null);
    store.keepFailure("a.test", { count: 2, next: 7, problem: "no" });
    assert.deepEqual(store.failure("a.test"), { count: 2, next: 7, problem: "no" });
    writeFileSync(join(folder, "failing", "failures", "a.test.json"), "{");
    assert.equal(store.failure("a.test"), null);
    store.keepFailure("a.test", null);
    store.keepFailure("a.test", null);
  });
});

describe("turns", () => {
  const fresh = (): string => join(folder, crypto.randomUUID(), "turn");

  it("one has it at a time, and the next when it is given back", () => {
    const path = fresh();
    const [one, other] = [new Turns(path), new Turns(path)];
    const turn = one.take();
    assert.equal(turn?.holds, true);
    assert.equal(one.take(), null);
    assert.equal(other.take(), null);
    turn?.release();
    const next = other.take();
    assert.equal(next?.holds, true);
    turn?.release();
    assert.equal(next?.holds, true, "nobody gives back what is another's");
    next?.release();
  });

  it("a holder that says nothing for long is taken for dead, and knows it when it comes back", async () => {
    const path = fresh();
    const dead = new Turns(path).take();
    const other = new Turns(path, 40);
    assert.equal(other.take(), null, "it has just been seen");
    let turn = other.take();
    while (turn === null) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      turn = other.take();
    }
    assert.deepEqual([turn.holds, dead?.holds], [true, false]);
    dead?.release();
    assert.equal(turn.holds, true);
    turn.release();
    assert.deepEqual(readdirSync(join(path, "..")), []);
  });

  it("a holder that speaks is left alone, however long it takes", async () => {
    const path = fresh();
    const turn = new Turns(path).take();
    const other = new Turns(path, 60);
    for (let i = 0; i < 6; i++) {
      assert.equal(other.take(), null);
      // What it does every few seconds, in a hurry.
      writeFileSync(path, "another word");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    turn?.release();
  });
});
