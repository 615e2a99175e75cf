import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { SshAuthority } from "../../src/authority/ssh-authority.ts";
import { sshSerialOf } from "../../src/authority/ssh-revocations.ts";
import { ca } from "../../src/cli/ca.ts";
import { UsageError } from "../../src/cli/command.ts";
import { parseSshPublicKey } from "../../src/wire/ssh-public-key.ts";
import { missing, program } from "../support/programs.ts";
import { run as runProgram } from "../support/run.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-ca-krl-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const dir = at("authority");
const krl = join(dir, "ssh.krl");

async function run(...args: readonly string[]): Promise<string[]> {
  const lines: string[] = [];
  const io = { env: {}, out: (line: string) => void lines.push(line), err: () => {} };
  assert.equal(await ca.run(args, io), 0);
  return lines;
}

describe("ca revoke and ca ssh-krl", { skip: missing("ssh-keygen") }, () => {
  before(async () => {
    await run("init", "--dir", dir);
    for (const name of ["alice", "bob"]) {
      const made = await runProgram(program("ssh-keygen"), ["-q", "-t", "ed25519", "-N", "", "-f", at(name)]);
      assert.equal(made.status, 0, made.err);
    }
  });
  const isRevoked = async (file: string): Promise<boolean> => {
    const { status, out } = await runProgram(program("ssh-keygen"), ["-Q", "-f", krl, at(file)]);
    assert.match(out, status === 0 ? /: ok\n$/ : /: REVOKED\n$/);
    return status !== 0;
  };

  it("leave an authority alone that does no SSH", async () => {
    await run("revoke", "--dir", dir, "--serial", "0123");
    assert.ok(!existsSync(krl));
  });

  it("end a key with all its certificates, users' and hosts'", async () => {
    const user = ["--cn", "x", "--principal", "x"];
    for (const name of ["alice", "bob"])
      await run("ssh-user", "--dir", dir, "--public-key", at(`${name}.pub`), ...user);
    const host = ["--public-key", at("alice.pub"), "--name", "h.example.com", "--out", at("host")];
    await run("ssh-host", "--dir", dir, ...host);
    assert.deepEqual(await run("ssh-krl", "--dir", dir), [krl]);
    for (const file of ["alice-cert.pub", "host-cert.pub"]) assert.equal(await isRevoked(file), false);
    assert.deepEqual(await run("revoke", "--dir", dir, "--ssh-key", at("alice.pub")), [krl]);
    for (const file of ["alice-cert.pub", "host-cert.pub", "alice.pub"])
      assert.equal(await isRevoked(file), true, file);
    for (const file of ["bob-cert.pub", "bob.pub"]) assert.equal(await isRevoked(file), false, file);
  });

  it("end the SSH certificate that came with another", async () => {
    await run("issue", "--dir", dir, "--cn", "bob", "--out", at("tls"));
    const serial = new X509Certificate(readFileSync(at("tls.crt"))).serialNumber;
    const publicKey = parseSshPublicKey(readFileSync(at("bob.pub"), "utf8"));
    assert.ok(!("problem" in publicKey));
    const authority = await SshAuthority.open(readFileSync(join(dir, "ssh-user.key"), "utf8"));
    const request = { publicKey, keyId: "bob", principals: ["bob"], lifetimeMs: 3_600_000 };
    const certificate = await authority.user({
      ...{ ...request, serial: sshSerialOf(serial), permissions: [], sources: [] },
    });
    writeFileSync(at("came-cert.pub"), certificate);
    assert.equal(await isRevoked("came-cert.pub"), false);
    const [json = ""] = await run("revoke", "--dir", dir, "--cert", at("tls.crt"), "--json");
    assert.deepEqual(JSON.parse(json), {
      revocation_list: join(dir, "ca.crl"),
      ssh_revocation_list: krl,
    });
    assert.equal(await isRevoked("came-cert.pub"), true);
    assert.equal(await isRevoked("alice.pub"), true, "what was revoked stays so");
    assert.equal(await isRevoked("bob-cert.pub"), false, "another one of the same key");
  });

  it("write where OUT says, and nothing where a record is damaged", async () => {
    assert.deepEqual(await run("ssh-krl", "--dir", dir, "--out", at("elsewhere")), [at("elsewhere")]);
    const record = readdirSync(join(dir, "revoked")).find((name) => name.startsWith("ssh-")) ?? "";
    const before = readFileSync(join(dir, "revoked", record));
    writeFileSync(join(dir, "revoked", record), "not a key");
    await assert.rejects(run("ssh-krl", "--dir", dir, "--out", at("none")), /ssh-[0-9a-f]+\.pub is no SSH/);
    assert.ok(!existsSync(at("none")));
    writeFileSync(join(dir, "revoked", record), before);
  });

  for (const [args, words] of [
    [[], /^which certificate\? expected --cert FILE, --serial NUMBER or --ssh-key FILE/],
    [["--serial", "01", "--ssh-key", at("bob.pub")], /^which certificate\?/],
    [["--ssh-key", at("bob.pub"), "--reason", "superseded"], /^--reason is for X\.509/],
    [["--ssh-key", at("bob.pub"), "--lifetime", "1d"], /^--lifetime is for X\.509/],
    [["--ssh-key", at("bob.pub"), "--out", at("x")], /^--out is for X\.509/],
    [["--ssh-key", at("bob")], /^--ssh-key .*bob is no SSH public key/],
    [["--ssh-key", at("nobody.pub")], /^--ssh-key .* can't be read/],
  ] as const)
    it(`revoke nothing for ${args.join(" ").replaceAll(folder, "").slice(0, 60) || "nothing"}`, async () => {
      const isUsage = (error: unknown): boolean => error instanceof UsageError && words.test(error.message);
      await assert.rejects(run("revoke", "--dir", dir, ...args), isUsage);
      assert.equal(await isRevoked("bob.pub"), false);
    });

  it("never make a serial number of an SSH certificate 0, which none can be revoked by", () => {
    assert.equal(sshSerialOf(`40${"00".repeat(15)}`), 1n);
    assert.equal(sshSerialOf("6f451bab7940813f8f20e392ecf921e1"), 0x8f20e392ecf921e1n);
    assert.equal(sshSerialOf("0a"), 10n);
  });
});
