import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { SshAuthority, type SshUserRequest } from "../../src/authority/ssh-authority.ts";
import { newSshKey } from "../../src/authority/ssh-key.ts";
import { ca } from "../../src/cli/ca.ts";
import { parseSshPublicKey } from "../../src/wire/ssh-public-key.ts";
import { missing, program } from "../support/programs.ts";
import { environment, sallyport } from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";
import { noTerminals, type Sshd, startSshd } from "../support/sshd.ts";

const page = readFileSync("docs/ssh-certificates.md", "utf8");
const user = userInfo().username;
const host = "node1.ssh.example.com";
const hourMs = 3_600_000;

/** The first block of that kind below a heading of the page. */
function block(heading: string, kind: string): string {
  const section = page.slice(page.indexOf(`## ${heading}`));
  const text = new RegExp(`\`\`\`${kind}\n([\\s\\S]*?)\`\`\``).exec(section)?.[1];
  assert.ok(text !== undefined, heading);
  return text;
}

describe("SSH certificates, as the page has them set up", {
  skip: missing("ssh", "sshd", "ssh-keygen", "bash"),
}, () => {
  let folder: string;
  let server: Sshd;
  const at = (name: string): string => join(folder, name);

  const bash = async (script: string): Promise<Finished> => {
    const words = sallyport.map((word) => `'${/^(dist|src)\//.test(word) ? resolve(word) : word}'`);
    const made = await run("bash", ["-euc", script.replaceAll("npm run -s sallyport --", words.join(" "))], {
      cwd: folder,
      env: environment({}),
      ms: 60_000,
    });
    assert.equal(made.status, 0, made.err);
    return made;
  };
  const authorityDoes = async (command: string, ...args: readonly string[]): Promise<void> => {
    const io = { env: {}, out: () => {}, err: () => {} };
    assert.equal(await ca.run([command, "--dir", at("ca"), ...args], io), 0);
  };
  const newKey = (name: string) =>
    run(program("ssh-keygen"), ["-q", "-t", "ed25519", "-N", "", "-f", at(name)]);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "sallyport-ssh-"));
    await newKey("ssh_host_ed25519_key");
    await newKey("id_ed25519");
    writeFileSync(at("revoked-keys"), "");
    const made = `${block("Servers", "sh")}${block("Users", "sh").replace("deploy", user)}`;
    await authorityDoes("init");
    await bash(made);
    const settings = block("Servers", "sshd_config").replaceAll("/etc/ssh", folder).trim().split("\n");
    server = await startSshd(at("sshd"), [...settings, "LogLevel VERBOSE"]);
  });
  after(() => {
    server?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  /** Runs `ssh`, which knows that key, the certificates beside it or named, and those hosts, and nothing else. */
  const ssh = (
    args: readonly string[],
    { key = "id_ed25519", cert = "", name = host, known = "known_hosts" } = {},
  ): Promise<Finished> => {
    const settings = [
      `IdentityFile=${at(key)}`,
      ...(cert === "" ? [] : [`CertificateFile=${at(cert)}`]),
      "IdentitiesOnly=yes",
      "IdentityAgent=none",
      `UserKnownHostsFile=${at(known)}`,
      "GlobalKnownHostsFile=none",
      "StrictHostKeyChecking=yes",
      `HostKeyAlias=${name}`,
      "BatchMode=yes",
    ];
    const options = settings.flatMap((setting) => ["-o", setting]);
    return run(program("ssh"), [...options, "-F", "none", "-p", String(server.port), ...args]);
  };
  const here = "127.0.0.1";

  it("let a user in without authorized_keys, at a host that nobody was asked about", async () => {
    const { status, out, err } = await ssh([here, "echo in"]);
    assert.equal(status, 0, err);
    assert.equal(out, "in\n");
    assert.match(server.log(), /Accepted publickey for .* ED25519-CERT .*ID alice \(serial \d+\)/);
  });

  it("give a terminal, but not to whom it was not permitted", { skip: noTerminals }, async () => {
    const asked = await ssh(["-tt", here, "tty"]);
    assert.match(asked.out, /^\/dev\//, asked.err);
    copyFileSync(at("id_ed25519"), at("plain"));
    chmodSync(at("plain"), 0o600);
    const key = ["--public-key", at("id_ed25519.pub"), "--out", at("plain")];
    await authorityDoes("ssh-user", ...key, "--cn", "p", "--principal", user, "--permit", "none");
    const refused = await ssh(["-tt", here, "tty"], { key: "plain" });
    assert.match(refused.err, /PTY allocation request failed/);
    const { status, out } = await ssh([here, "echo in"], { key: "plain" });
    assert.deepEqual([status, out], [0, "in\n"]);
  });

  describe("of these users are refused by sshd:", () => {
    const good = (): SshUserRequest => {
      const publicKey = parseSshPublicKey(readFileSync(at("id_ed25519.pub"), "utf8"));
      assert.ok(!("problem" in publicKey));
      const how = { permissions: [], sources: [], lifetimeMs: hourMs };
      return { publicKey, keyId: "mallory", principals: [user], ...how };
    };
    const authority = (name: "user" | "host") =>
      SshAuthority.open(readFileSync(at(`ca/ssh-${name}.key`), "utf8"));
    const cases: readonly (readonly [string, RegExp, () => Promise<string>])[] = [
      [
        "expired",
        /Certificate invalid: expired/,
        async () => (await authority("user")).user(good(), Date.now() - 2 * hourMs),
      ],
      [
        "not valid yet",
        /Certificate invalid: not yet valid/,
        async () => (await authority("user")).user(good(), Date.now() + hourMs),
      ],
      [
        "another principal",
        /Certificate invalid: name is not a listed principal/,
        async () => (await authority("user")).user({ ...good(), principals: [`${user}x`] }),
      ],
      [
        "another network",
        /valid certificate but not from a permitted source address/,
        async () => (await authority("user")).user({ ...good(), sources: ["192.0.2.0/24"] }),
      ],
      [
        "another authority",
        /Failed publickey for .* ED25519-CERT .* ID mallory .* CA ECDSA/,
        async () => (await SshAuthority.open(await newSshKey())).user(good()),
      ],
      [
        "the authority for hosts",
        /Failed publickey for .* ED25519-CERT .* ID mallory .* CA ECDSA/,
        async () => (await authority("host")).user(good()),
      ],
    ];
    for (const [i, [what, reason, make]] of cases.entries()) {
      it(what, async () => {
        copyFileSync(at("id_ed25519"), at(`bad${i}`));
        chmodSync(at(`bad${i}`), 0o600);
        writeFileSync(at(`bad${i}-cert.pub`), `${await make()}\n`);
        const before = server.log().length;
        const { status, err } = await ssh([here, "true"], { key: `bad${i}` });
        assert.equal(status, 255);
        assert.match(err, /Permission denied/);
        assert.match(server.log().slice(before), reason);
      });
    }
  });

  it("of hosts are refused by clients for another name, or of another authority", async () => {
    const other = await ssh([here, "true"], { name: "node2.ssh.example.com" });
    assert.match(other.err, /Certificate invalid: name is not a listed principal/);
    assert.equal(other.status, 255);
    const stranger = await SshAuthority.open(await newSshKey());
    writeFileSync(at("strangers"), `@cert-authority * ${stranger.publicLine("x")}\n`);
    const unknown = await ssh([here, "true"], { known: "strangers" });
    assert.match(unknown.err, /Host key verification failed/);
  });

  it("are of no use once their key is in RevokedKeys", async () => {
    appendFileSync(at("revoked-keys"), readFileSync(at("id_ed25519.pub")));
    const { status } = await ssh([here, "true"]);
    writeFileSync(at("revoked-keys"), "");
    assert.equal(status, 255);
    assert.match(server.log(), /revoked/);
  });
});
