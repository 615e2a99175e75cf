import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SshAuthority } from "../../src/authority/ssh-authority.ts";
import { newSshKey } from "../../src/authority/ssh-key.ts";
import { sshPrincipals as variable } from "../../src/config/values.ts";
import { newRequest } from "../../src/enrolment/new-request.ts";
import { EnrolmentRefusal } from "../../src/enrolment/refusal.ts";
import { issueSsh } from "../../src/enrolment/ssh-issuer.ts";
import { parseSshPrincipal, sshPrincipals } from "../../src/enrolment/ssh-principals.ts";
import { newSshRequest, readSshRequest } from "../../src/enrolment/ssh-request.ts";
import { isSshCertificateFor } from "../../src/wire/ssh-certificate.ts";
import { parseSshPublicKey, type SshPublicKey } from "../../src/wire/ssh-public-key.ts";

const templates = (text: string) => {
  const read = variable.safeParse(text);
  assert.ok(read.success, text);
  return read.data;
};
const keyOf = (line: string): SshPublicKey => {
  const key = parseSshPublicKey(line);
  assert.ok(!("problem" in key));
  return key;
};

describe("SSH principals of an identity", () => {
  const made = (text: string, commonName: string, groups: readonly string[] = [], emails: string[] = []) =>
    sshPrincipals(templates(text), { commonName, groups, emails });

  it("are what the templates make of it", () => {
    const usual = "{cn},group:{group}";
    assert.deepEqual(made(usual, "alice", ["ops", "ci"]), ["alice", "group:ops", "group:ci"]);
    assert.deepEqual(made(`${usual},guest`, "alice"), ["alice", "guest"]);
    assert.deepEqual(made("{email}", "x", [], ["alice@example.com"]), ["alice@example.com"]);
    assert.deepEqual(made("off", "alice", ["ops"]), []);
  });

  it("are never root, nor another template's, by anybody's name", () => {
    const usual = "{cn},{group},group:{group}";
    for (const name of ["root", "Root", "ROOT"]) assert.deepEqual(made(usual, name), []);
    assert.deepEqual(made(usual, "x", ["root"]), ["x", "group:root"]);
    assert.deepEqual(made("ro{cn}", "ot"), []);
    for (const name of [
      "group:ops",
      "a,b",
      "a b",
      "*",
      "-x",
      "@x",
      "a\nb",
      "alice\u0000",
      "x".repeat(65),
      "",
    ])
      assert.deepEqual(made("{cn}", name, ["ops"]), [], name);
    assert.deepEqual(made("root,{cn}", "alice"), ["root", "alice"], "as the operator says");
  });

  for (const text of ["{ou}", "{cn", "a b", "*", "{+cn}", "x?{cn}", '"']) {
    it(`can't be made by ${text}`, () => {
      assert.ok("problem" in parseSshPrincipal(text));
      assert.equal(variable.safeParse(text).success, false);
    });
  }
  it("take one template at least, or off", () => assert.equal(variable.safeParse(",").success, false));
});

describe("a request for an SSH certificate", () => {
  const refused = (reason: string) => (error: unknown) =>
    error instanceof EnrolmentRefusal && error.reason === reason && error.message.startsWith("ssh.");

  it("is proven by its key, for the one key that it comes with", async () => {
    const { publicKey: tls } = await newRequest();
    const { publicKey: other } = await newRequest();
    const { request } = await newSshRequest(null, tls);
    assert.equal((await readSshRequest(request, tls)).type, "ecdsa-sha2-nistp256");
    await assert.rejects(readSshRequest(request, other), refused("request_invalid"));
    const stranger = await newSshRequest(null, tls);
    const swapped = { ...request, public_key: stranger.request.public_key };
    await assert.rejects(readSshRequest(swapped, tls), refused("request_invalid"));
    for (const proof of ["", "AAAA", "?", btoa("\0".repeat(64))])
      await assert.rejects(readSshRequest({ ...request, proof }, tls), refused("request_invalid"));
    const nowhere = request.public_key.replace(/.{8}= /, "AAAAAAA= ");
    await assert.rejects(
      readSshRequest({ ...request, public_key: nowhere }, tls),
      refused("request_invalid"),
    );
    const ed25519 = `ssh-ed25519 ${btoa(`\0\0\0\x0bssh-ed25519\0\0\0\x20${"x".repeat(32)}`)}`;
    await assert.rejects(readSshRequest({ ...request, public_key: ed25519 }, tls), refused("key_unfit"));
    await assert.rejects(readSshRequest({ ...request, public_key: "x" }, tls), refused("request_invalid"));
  });

  it("keeps the key there is, and makes another where it can't be read", async () => {
    const { publicKey: tls } = await newRequest();
    const first = await newSshRequest(null, tls);
    const again = await newSshRequest(first.key, tls);
    assert.deepEqual([again.key, again.request.public_key], [first.key, first.request.public_key]);
    const anew = await newSshRequest("damaged", tls);
    await readSshRequest(anew.request, tls);
  });
});

describe("an SSH certificate that comes with another", () => {
  it("is for the key that asked, and none is made for nobody, or for whom limits are set", async () => {
    const hour = 3_600_000;
    const issuer = {
      users: await SshAuthority.open(await newSshKey()),
      hosts: "x",
      principals: templates("{cn}"),
    };
    const { publicKey: tls } = await newRequest();
    const key = keyOf((await newSshRequest(null, tls)).request.public_key);
    const other = keyOf((await newSshRequest(null, tls)).request.public_key);
    const now = Date.now();
    const ask = (commonName: string, limits?: { readonly routes: readonly string[] }) =>
      issueSsh(
        issuer,
        key,
        { person: { commonName }, ...(limits ? { limits } : {}) },
        { serial: "6f451bab7940813f8f20e392ecf921e1", expires: now + hour },
        now,
      );
    const made = await ask("alice");
    assert.deepEqual(made?.ssh_principals, ["alice"]);
    const line = made?.ssh_certificate ?? "";
    assert.ok(isSshCertificateFor(line, key));
    assert.ok(!isSshCertificateFor(line, other));
    for (const bad of [
      "",
      `${line}\n${line}`,
      line.replace("-cert-v01", ""),
      line.slice(0, 120),
      `${line}\r`,
    ])
      assert.ok(!isSshCertificateFor(bad, key), bad.slice(0, 60));
    assert.equal(await ask("root"), null);
    assert.equal(await ask("alice", { routes: ["orders"] }), null);
    assert.equal(await ask("alice", { routes: [] }), null);
  });
});
