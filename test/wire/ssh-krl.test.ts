import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { sshKrl } from "../../src/wire/ssh-krl.ts";
import { parseSshPublicKey, sshKeyBlob } from "../../src/wire/ssh-public-key.ts";
import { missing, program } from "../support/programs.ts";
import { type Finished, run } from "../support/run.ts";

const last = 2n ** 64n - 1n;

describe("a list of revoked SSH keys, as ssh-keygen reads it", { skip: missing("ssh-keygen") }, () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-krl-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const at = (name: string): string => join(folder, name);
  const keygen = (...args: readonly string[]): Promise<Finished> => run(program("ssh-keygen"), args);
  const newKey = (name: string) => keygen("-q", "-t", "ed25519", "-N", "", "-f", at(name));
  /** A certificate by one of two authorities; its file is NAME-cert.pub. */
  async function certify(name: string, authority: string, serial: bigint, kind: readonly string[] = []) {
    await newKey(name);
    const made = await keygen(
      ...["-q", "-s", at(authority), "-I", name, "-n", "x", "-z", String(serial), ...kind, at(`${name}.pub`)],
    );
    assert.equal(made.status, 0, made.err);
  }
  const blobOf = (name: string): Uint8Array => {
    const key = parseSshPublicKey(readFileSync(at(`${name}.pub`), "utf8"));
    assert.ok(!("problem" in key));
    return sshKeyBlob(key);
  };
  const write = (serials: readonly bigint[], keys: readonly Uint8Array[]): void =>
    writeFileSync(
      at("krl"),
      sshKrl({ version: 7n, generated: 1_700_000_000, comment: "made by a test", serials, keys }),
    );
  const isRevoked = async (file: string): Promise<boolean> => {
    const { status, out } = await keygen("-Q", "-f", at("krl"), at(file));
    assert.match(out, status === 0 ? /: ok\n$/ : /: REVOKED\n$/);
    return status !== 0;
  };

  before(async () => {
    await Promise.all(["ca", "other"].map(newKey));
    await Promise.all([
      certify("user", "ca", last),
      certify("host", "ca", 5n, ["-h"]),
      certify("good", "ca", 6n),
      certify("elsewhere", "other", 2n ** 63n),
      certify("lost", "other", 9n),
    ]);
  });

  it("revokes nothing where it is empty", async () => {
    write([], []);
    assert.deepEqual([await isRevoked("user-cert.pub"), await isRevoked("user.pub")], [false, false]);
    const { out } = await keygen("-Q", "-l", "-f", at("krl"));
    assert.match(out, /^# KRL version 7\n# Generated at 202311\d+T\d+\n# Comment: made by a test\n\s*$/);
  });

  it("revokes certificates by serial number, whoever signed them, and keys with all theirs", async () => {
    write([last, 5n, 2n ** 63n, 5n], [blobOf("lost")]);
    for (const file of ["user-cert.pub", "host-cert.pub", "elsewhere-cert.pub", "lost-cert.pub", "lost.pub"])
      assert.equal(await isRevoked(file), true, file);
    for (const file of ["good-cert.pub", "good.pub", "user.pub", "elsewhere.pub"])
      assert.equal(await isRevoked(file), false, file);
  });

  it("holds ten thousand", async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => BigInt(i) * 3n + 1_000_000n);
    write([...many, 6n], []);
    assert.equal(await isRevoked("good-cert.pub"), true);
    assert.equal(await isRevoked("host-cert.pub"), false);
  });
});
