import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { ca } from "../../src/cli/ca.ts";
import { UsageError } from "../../src/cli/command.ts";
import { joined } from "../../src/wire/joined.ts";
import { sshLine } from "../../src/wire/ssh-certificate.ts";
import { sshString } from "../../src/wire/ssh-data.ts";
import { missing, program } from "../support/programs.ts";
import { run as runProgram } from "../support/run.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-ca-ssh-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);
const dir = at("authority");

async function run(...args: readonly string[]): Promise<string[]> {
  const lines: string[] = [];
  const io = { env: {}, out: (line: string) => void lines.push(line), err: () => {} };
  assert.equal(await ca.run(args, io), 0);
  return lines;
}
const usageError = (words: RegExp) => (error: unknown) =>
  error instanceof UsageError && words.test(error.message);

const made = run("init", "--dir", dir);
const keygen = async (...args: readonly string[]): Promise<string> => {
  const { status, out, err } = await runProgram(program("ssh-keygen"), args);
  assert.equal(status, 0, err);
  return out;
};
const ed25519 = sshLine(
  "ssh-ed25519",
  joined([sshString("ssh-ed25519"), sshString(new Uint8Array(32).fill(9))]),
  "x",
);
writeFileSync(at("alice.pub"), `${ed25519}\n`);
const user = ["ssh-user", "--dir", dir, "--public-key", at("alice.pub"), "--cn", "alice"];
const host = ["ssh-host", "--dir", dir, "--public-key", at("alice.pub")];

describe("ca ssh", () => {
  it("makes keys at its first use, and prints the same ones from then on, however many ask at a time", async () => {
    await made;
    assert.ok(!readdirSync(dir).some((name) => name.startsWith("ssh")), "none before");
    const all = await Promise.all(Array.from({ length: 8 }, () => run("ssh", "--dir", dir)));
    for (const one of all) assert.deepEqual(one, all[0]);
    for (const key of ["ssh-user.key", "ssh-host.key"])
      assert.equal(statSync(join(dir, key)).mode & 0o777, 0o600);
    assert.ok(!readdirSync(dir).some((name) => name.endsWith(".new")));
    const [, users = "", , hosts = ""] = all[0] ?? [];
    assert.match(users, /^ecdsa-sha2-nistp256 [A-Za-z0-9+/]+=* sallyport-users$/);
    assert.match(hosts, /^@cert-authority \* ecdsa-sha2-nistp256 [A-Za-z0-9+/]+=* sallyport-hosts$/);
    assert.notEqual(users.split(" ")[1], hosts.split(" ")[3], "a key for each");
  });

  it("prints what servers or what clients need alone, and as JSON", async () => {
    await made;
    const [users] = await run("ssh", "--dir", dir, "--for", "sshd");
    const hosts = await run(
      "ssh",
      "--dir",
      dir,
      "--for",
      "clients",
      "--host",
      "*.example.com,!bad.example.com",
    );
    assert.match(hosts.join(), /^@cert-authority \*\.example\.com,!bad\.example\.com ecdsa-/);
    const [json = ""] = await run("ssh", "--dir", dir, "--json");
    const members = JSON.parse(json) as Record<string, string>;
    assert.equal(members.trusted_user_ca_keys, users);
    assert.match(members.cert_authority ?? "", /^@cert-authority \* /);
  });

  it("refuses what is no pattern, and an audience that is none", async () => {
    await made;
    for (const pattern of ["a b", "a\nb", "", "@x"])
      await assert.rejects(run("ssh", "--dir", dir, "--host", pattern), usageError(/^--host/));
    await assert.rejects(run("ssh", "--dir", dir, "--for", "me"), usageError(/^--for me: expected sshd or/));
    await assert.rejects(run("ssh", "--dir", at("nowhere")), usageError(/holds no authority/));
  });

  it("does not use a key file that is damaged, nor replace it", async () => {
    await run("init", "--dir", at("damaged"));
    writeFileSync(at("damaged/ssh-user.key"), "not a key");
    await assert.rejects(
      run("ssh", "--dir", at("damaged")),
      usageError(/ssh-user\.key: the key can't be read/),
    );
    assert.equal(readFileSync(at("damaged/ssh-user.key"), "utf8"), "not a key");
  });
});

describe("SSH certificates and ssh-keygen", { skip: missing("ssh-keygen") }, () => {
  it("agree on the authority's key", async () => {
    await made;
    const [users = ""] = await run("ssh", "--dir", dir, "--for", "sshd");
    assert.ok(users.startsWith((await keygen("-y", "-f", join(dir, "ssh-user.key"))).trim()));
  });

  const kinds = ["ed25519", "ecdsa -b 256", "ecdsa -b 384", "ecdsa -b 521", "rsa -b 2048"];
  for (const kind of kinds) {
    it(`agree on a user's certificate for ${kind}`, async () => {
      await made;
      const key = at(kind.replaceAll(" ", ""));
      await keygen("-q", "-t", ...kind.split(" "), "-N", "", "-f", key);
      const limits = ["--source", "10.0.0.0/8,192.0.2.7", "--source", "2001:db8::/32"];
      const permits = ["--permit", "pty,agent-forwarding", "--permit", "X11-forwarding"];
      const principals = ["--principal", "alice,bob", "--principal", "group:ops"];
      const start = ["ssh-user", "--dir", dir, "--public-key", `${key}.pub`, "--cn", 'Alice "A" Ünal'];
      assert.deepEqual(await run(...start, ...principals, ...limits, ...permits, "--lifetime", "30m"), [
        `${key}-cert.pub`,
      ]);
      const said = await keygen("-L", "-f", `${key}-cert.pub`);
      assert.match(said, /Type: \S+-cert-v01@openssh\.com user certificate/);
      assert.match(said, /Principals:\s+alice\n\s+bob\n\s+group:ops\n/);
      assert.match(
        said,
        /Critical Options:\s+source-address 10\.0\.0\.0\/8,192\.0\.2\.7\/32,2001:db8::\/32\n/,
      );
      const extensions = /Extensions: +([\s\S]*)$/.exec(said)?.[1]?.trim().split(/\s+/);
      assert.deepEqual(extensions, ["permit-X11-forwarding", "permit-agent-forwarding", "permit-pty"]);
      const [, from = "", to = ""] = /Valid: from (\S+) to (\S+)/.exec(said) ?? [];
      assert.equal(Date.parse(to) - Date.parse(from), 35 * 60_000, "with five minutes for slow clocks");
    });
  }

  it("agree on the key of a security key", async () => {
    await made;
    const type = "sk-ssh-ed25519@openssh.com";
    const blob = joined([sshString(type), sshString(new Uint8Array(32).fill(9)), sshString("ssh:")]);
    writeFileSync(at("token.pub"), sshLine(type, blob, "x"));
    await run("ssh-user", "--dir", dir, "--public-key", at("token.pub"), "--cn", "t", "--principal", "t");
    const said = await keygen("-L", "-f", at("token-cert.pub"));
    assert.match(said, /sk-ssh-ed25519-cert-v01@openssh\.com user certificate/);
    assert.match(said, /Critical Options: \(none\)\s+Extensions:\s+permit-port-forwarding\s+permit-pty\s*$/);
  });

  it("agree on a host's certificate, where OUT says", async () => {
    await made;
    const names = ["--name", "Node1.example.com", "--name", "node1", "--name", "192.0.2.1"];
    const out = ["--out", at("server"), "--json"];
    const [json = ""] = await run(...host, ...names, ...out);
    assert.deepEqual(JSON.parse(json), { certificate: at("server-cert.pub") });
    const said = await keygen("-L", "-f", at("server-cert.pub"));
    assert.match(said, /ssh-ed25519-cert-v01@openssh\.com host certificate/);
    assert.match(said, /Principals:\s+node1\.example\.com\n\s+node1\n\s+192\.0\.2\.1\n/);
    assert.match(said, /Critical Options: \(none\)\s+Extensions: \(none\)/);
  });
});

describe("ca ssh-user and ca ssh-host", () => {
  const refused: readonly (readonly [readonly string[], RegExp])[] = [
    [user, /^--principal is missing/],
    [[...user, "--principal", ""], /^--principal is missing/],
    [[...user, "--principal", ","], /^--principal is missing/],
    ...["a b", "*", "a\nb", "a\u0000", 'a"b', "a\u202eb", "#a", "a".repeat(65)].map(
      (name) => [[...user, "--principal", name], /^--principal: .* is no user's name/] as const,
    ),
    [
      [...user, ...Array.from({ length: 257 }, (_, i) => ["--principal", `u${i}`]).flat()],
      /^--principal: expected 256 at most/,
    ],
    [[...user, "--principal", "a", "--lifetime", "25h"], /^--lifetime 25h is out of bounds/],
    [[...user, "--principal", "a", "--lifetime", "366d", "--force"], /^--lifetime 366d is too long/],
    [[...user, "--principal", "a", "--source", "10.0.0.1/8"], /^--source .*is no network/],
    [[...user, "--principal", "a", "--permit", "everything"], /^--permit everything: expected/],
    [[...user, "--principal", "a", "--permit", "none,pty"], /^--permit none: expected/],
    [[...user, "--cn", "a\nb", "--principal", "a"], /^--cn: /],
    [["ssh-user", "--dir", dir, "--cn", "a", "--principal", "a"], /^--public-key is missing/],
    [[...user, "--public-key", at("none.pub"), "--principal", "a"], /^--public-key .* can't be read/],
    [[...user, "--public-key", join(dir, "ca.key"), "--principal", "a"], /is no SSH public key/],
    [host, /^--name is missing/],
    [[...host, "--name", "a b"], /^--name: /],
    [[...host, "--name", "*.example.com"], /^--name: .* is no DNS name/],
    [[...host, "--name", "a.example.com", "--lifetime", "826d"], /^--lifetime 826d is too long/],
  ];
  it("refuse what can't be, with the flag's name, and write nothing", async () => {
    await made;
    for (const [args, words] of refused)
      await assert.rejects(
        run(...args, "--out", at("refused")),
        usageError(words),
        args.join(" ").slice(0, 300),
      );
    assert.ok(!readdirSync(folder).some((name) => name.startsWith("refused")));
  });
});
