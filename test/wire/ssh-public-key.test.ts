import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { joined } from "../../src/wire/joined.ts";
import { sshLine } from "../../src/wire/ssh-certificate.ts";
import { sshMpint, sshString, sshUint64 } from "../../src/wire/ssh-data.ts";
import { parseSshPublicKey } from "../../src/wire/ssh-public-key.ts";
import { seed, share } from "../support/fuzz.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
const filled = (length: number, first: number): Uint8Array => {
  const made = new Uint8Array(length).fill(7);
  made[0] = first;
  return made;
};

describe("SSH's data types", () => {
  it("are written as RFC 4251 has them in its examples", () => {
    assert.equal(hex(sshString("testing")), "0000000774657374696e67");
    assert.equal(hex(sshMpint(bytes("00"))), "00000000");
    assert.equal(hex(sshMpint(bytes("09a378f9b2e332a7"))), "0000000809a378f9b2e332a7");
    assert.equal(hex(sshMpint(bytes("0080"))), "000000020080");
    assert.equal(hex(sshMpint(bytes("000001"))), "0000000101");
    assert.equal(hex(sshUint64(2n ** 64n - 2n)), "fffffffffffffffe");
  });
});

const curve = (name: string, octets: number): Uint8Array =>
  joined([sshString(name), sshString(filled(1 + 2 * octets, 4))]);
const rsa = (bits: number): Uint8Array =>
  joined([sshMpint(bytes("010001")), sshMpint(filled(bits / 8, 0x80))]);
const good: Readonly<Record<string, Uint8Array>> = {
  "ssh-ed25519": sshString(filled(32, 1)),
  "ecdsa-sha2-nistp256": curve("nistp256", 32),
  "ecdsa-sha2-nistp384": curve("nistp384", 48),
  "ecdsa-sha2-nistp521": curve("nistp521", 66),
  "ssh-rsa": rsa(2048),
  "sk-ssh-ed25519@openssh.com": joined([sshString(filled(32, 1)), sshString("ssh:")]),
  "sk-ecdsa-sha2-nistp256@openssh.com": joined([curve("nistp256", 32), sshString("ssh:work")]),
};
const line = (type: string, fields: Uint8Array, inner = type): string =>
  sshLine(type, joined([sshString(inner), fields]), "a comment");
const problem = (text: string): string => {
  const read = parseSshPublicKey(text);
  assert.ok("problem" in read, "read as a key");
  return read.problem;
};

describe("a public SSH key", () => {
  for (const [type, fields] of Object.entries(good)) {
    it(`${type} is read, whole alone`, () => {
      assert.deepEqual(parseSshPublicKey(`${line(type, fields)}\r\n`), { type, fields });
      for (let end = 0; end < fields.length; end++) problem(line(type, fields.subarray(0, end)));
      problem(line(type, joined([fields, Uint8Array.of(0)])));
    });
  }

  const ed25519 = good["ssh-ed25519"] ?? new Uint8Array();
  const bad: Readonly<Record<string, string>> = {
    empty: "",
    "a private key": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n",
    "two lines": `${line("ssh-ed25519", ed25519)}\n${line("ssh-ed25519", ed25519)}`,
    "options before it": `command="x" ${line("ssh-ed25519", ed25519)}`,
    "another type inside": line("ssh-ed25519", ed25519, "ssh-rsa"),
    "a certificate": line("ssh-ed25519-cert-v01@openssh.com", ed25519),
    DSA: line("ssh-dss", ed25519),
    "a type of every object": line("constructor", ed25519),
    "a short RSA key": line("ssh-rsa", rsa(1024)),
    "a negative RSA modulus": line("ssh-rsa", joined([sshMpint(bytes("03")), sshString(filled(256, 0x80))])),
    "zeroes before a modulus": line(
      "ssh-rsa",
      joined([sshMpint(bytes("03")), sshString(joined([bytes("0000"), filled(256, 0x80)]))]),
    ),
    "exponent 1": line("ssh-rsa", joined([sshMpint(bytes("01")), sshMpint(filled(256, 0x80))])),
    "a compressed point": line(
      "ecdsa-sha2-nistp256",
      joined([sshString("nistp256"), sshString(filled(33, 2))]),
    ),
    "another curve": line("ecdsa-sha2-nistp256", curve("nistp384", 32)),
    "a security key for the web": line(
      "sk-ssh-ed25519@openssh.com",
      joined([sshString(filled(32, 1)), sshString("https://example.com")]),
    ),
    "a long line": `${line("ssh-ed25519", ed25519)}${" x".repeat(20_000)}`,
    "no Base64": "ssh-ed25519 AAAA=AAA",
  };
  for (const [what, text] of Object.entries(bad)) {
    it(`can't be ${what}, and the problem repeats nothing of it`, () => {
      assert.match(problem(text), /^is (no|a) .*key/);
      assert.doesNotMatch(problem(text), /b3Bl|AAAA[A-Z]/);
    });
  }

  it("can't be any other bytes, and a length that lies is never read past", () => {
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(good)), fc.uint8Array({ maxLength: 80 }), (type, rest) => {
        const read = parseSshPublicKey(line(type, rest));
        if (!("problem" in read)) assert.deepEqual(read.fields, rest);
      }),
      { seed, numRuns: share(2000) },
    );
    problem(line("ssh-ed25519", bytes("ffffffff00")));
  });
});
